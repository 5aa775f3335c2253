"""What can be seen of the control plane from outside: its log, its metrics and its traces, put together.

`serve` opens one `Telemetry` from the operator's options and the environment, hands it to control as its watcher, and
to the application for its requests. Every part is told the same; none knows the others. Traces are loaded only where
the standard variables of OpenTelemetry name a collector.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import structlog
from prometheus_client import start_http_server
from structlog.contextvars import bound_contextvars

from reflexdb.api.access import RequestWatcher
from reflexdb.api.metrics import Metrics, MetricsAccess
from reflexdb.control.watching import Kind, Timed, Watcher, Work
from reflexdb.model.errors import InvalidRequest
from reflexdb.model.observing import Observing

log = structlog.get_logger()

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_TOKEN_CHARS = 16
_TOLD = frozenset({Kind.STEP, Kind.DEPLOYMENT, Kind.PHASE, Kind.BUILD, Kind.ACTION})


class Lines(Timed):
    """Work as lines of the log; everything logged inside a job carries the job's ids."""

    @contextmanager
    def doing(self, work: Work) -> Iterator[None]:
        with bound_contextvars(**{name: value for name, value in work.ids.items() if value is not None}):
            if work.kind is Kind.JOB:
                log.info("job", name=work.name)
            with super().doing(work):
                yield

    def done(self, work: Work, seconds: float, *, failed: bool = False) -> None:
        if work.kind in _TOLD:
            outcome = "failed" if failed else "succeeded"
            ids = {name: value for name, value in work.ids.items() if value is not None}
            log.info(work.kind.value, name=work.name, seconds=round(seconds, 3), outcome=outcome, **ids)


class Telemetry:
    """Tells every part; is control's Watcher."""

    def __init__(self, access: MetricsAccess | None = None, environ: Mapping[str, str] | None = None) -> None:
        self.access = access or MetricsAccess()
        self.metrics = Metrics()
        self.requests: list[RequestWatcher] = [self.metrics]
        self._watchers: list[Watcher] = [Lines(), self.metrics]
        self._closing = ExitStack()
        if traces_wanted(environ or {}):
            from reflexdb.api.traces import Traces

            traces = Traces(environ or {})
            self.requests.append(traces)
            self._watchers.append(traces)
            self._closing.callback(traces.close)

    @contextmanager
    def doing(self, work: Work) -> Iterator[None]:
        with ExitStack() as stack:
            for watcher in self._watchers:
                stack.enter_context(watcher.doing(work))
            yield

    def done(self, work: Work, seconds: float, *, failed: bool = False) -> None:
        for watcher in self._watchers:
            watcher.done(work, seconds, failed=failed)

    def cause(self) -> str | None:
        return next((cause for each in self._watchers if (cause := each.cause()) is not None), None)

    def close(self) -> None:
        self._closing.close()


@contextmanager
def opened(observing: Observing, environ: Mapping[str, str]) -> Iterator[Telemetry]:
    """By the operator's options. Raises InvalidRequest where they can't be met."""
    token = _token(observing.metrics_token_file) if observing.metrics_token_file else None
    access = MetricsAccess(token, elsewhere=observing.metrics_listen is not None)
    with closing(Telemetry(access, environ)) as telemetry, _listening(observing.metrics_listen, telemetry.metrics):
        yield telemetry


def _token(path: Path) -> str:
    try:
        token = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidRequest(f"the metrics token can't be read from {path}: {_why(exc)}") from exc
    if len(token) < _TOKEN_CHARS:
        raise InvalidRequest(
            f"the metrics token in {path} is shorter than {_TOKEN_CHARS} characters; choose a longer one"
        )
    return token


@contextmanager
def _listening(where: str | None, metrics: Metrics) -> Iterator[None]:
    """Metrics on an address of their own."""
    if where is None:
        yield
        return
    host, colon, port = where.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise InvalidRequest(f"metrics can't be served on {where!r}: give HOST:PORT")
    try:
        server, thread = start_http_server(int(port), host.strip("[]") or "127.0.0.1", metrics.registry)
    except OSError as exc:
        raise InvalidRequest(f"metrics can't be served on {where!r}: {_why(exc)}") from exc
    log.info("serving_metrics", address=f"{host}:{server.server_port}")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _why(exc: Exception) -> str:
    return getattr(exc, "strerror", None) or str(exc)


def traces_wanted(environ: Mapping[str, str]) -> bool:
    """As the standard variables say it."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return any(environ.get(name) for name in _ENDPOINTS)
