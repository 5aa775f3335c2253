"""The HTTP application: the routes, the gate before them, and the description of them all.

`create_app(control)` is called by `serve` and by tests. A table of contents: resources are in their own modules.
"""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import JSONResponse

import reflexdb
from reflexdb.api import (
    admin,
    admin_plans,
    audit,
    billing,
    build_images,
    build_log,
    builds,
    config_advice,
    connections,
    cors,
    databases,
    deployments,
    disk,
    errors,
    evidence,
    freshness,
    instances,
    keys,
    metrics,
    signing_keys,
)
from reflexdb.api.access import Access
from reflexdb.api.bounds import Bounds
from reflexdb.api.conditions import Conditional
from reflexdb.api.description import methods, openapi, parameters
from reflexdb.api.envelope import Envelope
from reflexdb.api.gate import Gate
from reflexdb.api.heads import Heads
from reflexdb.api.json_body import StrictJson
from reflexdb.api.known_methods import KnownMethods
from reflexdb.api.known_parameters import KnownParameters
from reflexdb.api.limits import Attempts, Quota
from reflexdb.api.repeats import Repeatable
from reflexdb.api.settings import ApiSettings
from reflexdb.api.telemetry import Telemetry
from reflexdb.control.control import Control


def routed() -> FastAPI:
    """The routes alone: what can be described, and not yet be asked."""
    app = FastAPI(
        title="ReflexDB Control Plane API",
        version=reflexdb.__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    of_database = (
        databases,
        config_advice,
        instances,
        freshness,
        builds,
        evidence,
        build_images,
        build_log,
        deployments,
        disk,
        keys,
    )
    for room in (*of_database, connections, audit, billing, signing_keys, admin, admin_plans):
        app.include_router(room.router)
    return app


def create_app(control: Control, settings: ApiSettings | None = None, telemetry: Telemetry | None = None) -> FastAPI:
    """The application on a control that the caller starts and stops. `telemetry` is the one that control was given."""
    settings, telemetry = settings or ApiSettings(), telemetry or Telemetry()
    telemetry.metrics.watch(control)
    app = routed()
    app.state.control = control
    document = openapi(app)
    errors.install(app)
    app.add_middleware(Repeatable, repeats=control.repeats)  # the last one added is passed first
    app.add_middleware(Conditional, settings=control.rooms.settings)
    app.add_middleware(StrictJson)
    app.add_middleware(KnownParameters, parameters=parameters(document))
    app.add_middleware(Quota, settings=settings)
    app.add_middleware(Gate, accounts=control.accounts)
    app.add_middleware(KnownMethods, methods=methods(document))
    app.add_middleware(Attempts, settings=settings)
    app.add_middleware(Bounds, settings=settings)
    cors.install(app, settings)
    app.add_middleware(Heads)
    app.add_middleware(Envelope)
    app.add_middleware(Access, precedence=control.rooms.precedence, watchers=telemetry.requests)
    metrics.install(app, telemetry.metrics, telemetry.access)

    @app.get("/v1/openapi.json", include_in_schema=False)
    def describe() -> JSONResponse:
        return JSONResponse(document)

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> dict[str, str]:
        return {"status": "stopping" if control.stopping else "ok", "version": reflexdb.__version__}

    return app
