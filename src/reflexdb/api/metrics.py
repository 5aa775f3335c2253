"""The control plane's numbers in the Prometheus text format, and who may read them.

One registry per application, told of requests, of control's work and of transactions, and asking the records for what
there is now when it is read. Every label is a word of the code: routes are templates, and no id, name or path of a
user is ever a label. Numbers of all accounts stand side by side here, so they are the operator's alone.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

import reflexdb
from reflexdb.api.access import Exchange
from reflexdb.api.errors import from_error
from reflexdb.control.control import Control
from reflexdb.control.figures import figures
from reflexdb.control.watching import Kind, Timed, Work
from reflexdb.model.errors import NotAllowed, NotAuthenticated, ReflexError

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_LONG = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)


@dataclass(frozen=True, slots=True)
class MetricsAccess:
    """Who may read GET /metrics."""

    token: str | None = field(default=None, repr=False)
    """Where set, it is asked of everyone."""
    elsewhere: bool = False
    """They are served on an address of their own, and not beside the API."""


class Metrics(Timed):
    """Counts what it is told of. Safe to use from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "reflexdb_http_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self._request_seconds = _histogram(
            "http_request", "Time until the whole answer was handed over", ["method", "route"], _QUICK, self.registry
        )
        self._in_progress = Gauge(
            "reflexdb_http_requests_in_progress", "Requests not answered yet", registry=self.registry
        )
        outcome = "outcome"
        self._work = {
            Kind.PHASE: _histogram("build_phase", "Phases of builds", ["phase", outcome], _LONG, self.registry),
            Kind.BUILD: _histogram("build", "Builds, from start to end", [outcome], _LONG, self.registry),
            Kind.ACTION: _histogram(
                "action",
                "Actions, from when they were asked for to their end",
                ["action", outcome],
                _LONG,
                self.registry,
            ),
            Kind.DEPLOYMENT: _histogram(
                "deployment_step", "Steps of putting an instance in place", ["step", outcome], _LONG, self.registry
            ),
            Kind.TICK: _histogram("reconcile_tick", "Looks of the reconciler", [outcome], _QUICK, self.registry),
            Kind.POLL: _histogram("health_poll", "Rounds of looking at instances", [outcome], _QUICK, self.registry),
        }
        self._last_tick = Gauge(
            "reflexdb_reconcile_last_tick_timestamp_seconds",
            "When the reconciler last finished a look",
            registry=self.registry,
        )
        self._transactions = _histogram(
            "records_transaction", "Transactions on the records, with waiting", ["mode"], _QUICK, self.registry
        )
        Gauge(
            "reflexdb_version_info", "Always 1; the version is the label", ["version"], registry=self.registry
        ).labels(reflexdb.__version__).set(1)
        ProcessCollector(registry=self.registry)

    def watch(self, control: Control) -> None:
        """Ask this control for what there is, from now on."""
        self.registry.register(_Present(control))
        control.rooms.store.watch = lambda mode, seconds: self._transactions.labels(mode).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)

    @contextmanager
    def request(self, exchange: Exchange) -> Iterator[None]:
        self._in_progress.inc()
        try:
            yield
        finally:
            self._in_progress.dec()
            self._requests.labels(exchange.method, exchange.route, str(exchange.status)).inc()
            self._request_seconds.labels(exchange.method, exchange.route).observe(exchange.seconds)

    def done(self, work: Work, seconds: float, *, failed: bool = False) -> None:
        family = self._work.get(work.kind)
        if family is None:
            return
        outcome = "failed" if failed else "succeeded"
        labels = (outcome,) if len(family._labelnames) == 1 else (work.name, outcome)
        family.labels(*labels).observe(max(seconds, 0.0))
        if work.kind is Kind.TICK:
            self._last_tick.set_to_current_time()


def _histogram(
    name: str, what: str, labels: list[str], buckets: tuple[float, ...], registry: CollectorRegistry
) -> Histogram:
    return Histogram(f"reflexdb_{name}_seconds", what, labels, buckets=buckets, registry=registry)


class _Present(Collector):
    """What there is at the moment of asking."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        now = figures(self._control.rooms)
        yield _gauge("databases", "Databases by status", "status", dict(now.databases))
        yield _gauge("instances", "Serving instances by health", "health", dict(now.instances))
        running_and_queued: dict[str, float] = {"running": now.jobs_running, "queued": now.jobs_queued}
        yield _gauge("jobs", "Jobs that are not finished", "state", running_and_queued)
        yield GaugeMetricFamily(
            "reflexdb_reconcile_lag_seconds", "Age of the oldest due work that nobody is busy with", now.lag_s
        )
        yield GaugeMetricFamily("reflexdb_data_free_bytes", "Free space where the data directory is", now.free_bytes)
        yield GaugeMetricFamily("reflexdb_images", "Images of builds that are stored", self._control.disk.images())
        use = self._control.disk.whole()
        if use is not None:
            yield GaugeMetricFamily("reflexdb_image_store_bytes", "What the image store takes of its disk", use.bytes)
            yield GaugeMetricFamily("reflexdb_image_store_free_bytes", "Free space where images are", use.free_bytes)


def _gauge(name: str, what: str, label: str, values: dict[str, float] | dict[str, int]) -> Metric:
    family = GaugeMetricFamily(f"reflexdb_{name}", what, labels=[label])
    for word, value in values.items():
        family.add_metric([word], value)
    return family


def install(app: FastAPI, metrics: Metrics, access: MetricsAccess) -> None:
    """GET /metrics, unless they are served elsewhere."""
    if access.elsewhere:
        return

    @app.get("/metrics", include_in_schema=False)
    def read(request: Request) -> Response:
        try:
            _admit(request, access)
        except ReflexError as exc:
            return from_error(exc)
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _admit(request: Request, access: MetricsAccess) -> None:
    """Raises NotAuthenticated or NotAllowed.

    Without a token of their own they are for an operator's credential. That a request comes from this machine says
    nothing: a plain proxy on it asks for others, and adds no header that tells.
    """
    scheme, _, credential = request.headers.get("authorization", "").strip().partition(" ")
    given = credential.strip() if scheme.lower() == "bearer" else ""
    if access.token is not None:
        if not hmac.compare_digest(given.encode(), access.token.encode()):
            raise NotAuthenticated("Send the metrics token: Authorization: Bearer <token>")
        return
    control: Control = request.app.state.control
    if not given:
        raise NotAuthenticated(
            "Send an operator's token, or start the server with a metrics token or address of its own"
        )
    if not control.accounts.speaker(given).is_admin:
        raise NotAllowed("Metrics tell of all accounts; only an operator may read them")
