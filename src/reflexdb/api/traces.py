"""OpenTelemetry traces: a span for each request, job, step, phase of a build and step of a deployment.

Imported by `telemetry` only where the standard variables name a collector, so that nothing of it is loaded or started
otherwise; they configure it (endpoint, headers, sampler, service name). A job begins a trace of its own, since it may
run long after its request, and is linked to the request's span. Attributes are ids and words of the code.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import reflexdb
from reflexdb.api.access import Exchange
from reflexdb.control.watching import Kind, Work

_FLUSH_MS = 3_000
"""How long the end of the control plane waits for a collector that does not answer."""

_SPANS = frozenset({Kind.JOB, Kind.STEP, Kind.PHASE, Kind.DEPLOYMENT})
_PROPAGATOR = TraceContextTextMapPropagator()


class Traces:
    """A watcher of requests and of control's work."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        known: dict[str, str] = {SERVICE_VERSION: reflexdb.__version__}
        if "OTEL_SERVICE_NAME" not in environ and "service.name" not in environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
            known[SERVICE_NAME] = "reflexdb"
        self._provider = TracerProvider(resource=Resource.create(known), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("reflexdb", reflexdb.__version__)

    def close(self) -> None:
        """Send what is left, or give up."""
        self._provider.force_flush(_FLUSH_MS)
        self._provider.shutdown()

    @contextmanager
    def request(self, exchange: Exchange) -> Iterator[None]:
        carrier = {"traceparent": exchange.traceparent, "tracestate": exchange.tracestate}
        context = _PROPAGATOR.extract({name: value for name, value in carrier.items() if value is not None})
        with self._tracer.start_as_current_span(exchange.method, context, SpanKind.SERVER) as span:
            try:
                yield
            finally:
                span.update_name(f"{exchange.method} {exchange.route}")
                span.set_attributes(_attributes(exchange.ids))
                span.set_attribute("http.request.method", exchange.method)
                span.set_attribute("http.route", exchange.route)
                span.set_attribute("http.response.status_code", exchange.status)
                if exchange.status >= 500:
                    span.set_status(StatusCode.ERROR)

    @contextmanager
    def doing(self, work: Work) -> Iterator[None]:
        if work.kind not in _SPANS:
            yield
            return
        # What an exception says may quote a source; its kind is enough here, and the log has the rest.
        with self._tracer.start_as_current_span(
            f"{work.kind} {work.name}",
            attributes=_attributes(work.ids),
            links=_links(work),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as exc:
                span.set_status(Status(StatusCode.ERROR, type(exc).__name__))
                raise

    def done(self, work: Work, seconds: float, *, failed: bool = False) -> None:
        if work.kind not in _SPANS:
            return
        ended = time.time_ns()
        span = self._tracer.start_span(
            f"{work.kind} {work.name}", attributes=_attributes(work.ids), start_time=ended - round(seconds * 1e9)
        )
        if failed:
            span.set_status(StatusCode.ERROR)
        span.end(ended)

    def cause(self) -> str | None:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get("traceparent")


def _links(work: Work) -> list[Link]:
    """To the request that asked for a job."""
    if work.kind is not Kind.JOB or work.cause is None:
        return []
    asked = get_current_span(_PROPAGATOR.extract({"traceparent": work.cause})).get_span_context()
    return [Link(asked)] if asked.is_valid else []


def _attributes(ids: Mapping[str, str | None]) -> dict[str, str]:
    return {f"reflexdb.{name}": value for name, value in ids.items() if value is not None}
