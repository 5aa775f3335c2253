"""The HTTP application: the routes, the gate before them, and the description of them all.

`create_app(control)` is called by `serve` and by tests. A table of contents: resources are in their own modules.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse

import reflexdb
from reflexdb.api import audit, builds, connections, databases, deployments, errors, instances, keys, metrics
from reflexdb.api.access import Access
from reflexdb.api.envelope import Envelope
from reflexdb.api.gate import Gate
from reflexdb.api.repeats import Repeatable
from reflexdb.api.telemetry import Telemetry
from reflexdb.control.control import Control

_PREFIX = "/v1"


def create_app(control: Control, telemetry: Telemetry | None = None) -> FastAPI:
    """The application on a control that the caller starts and stops. `telemetry` is the one that control was given."""
    telemetry = telemetry or Telemetry()
    telemetry.metrics.watch(control)
    app = FastAPI(
        title="ReflexDB Control Plane API",
        version=reflexdb.__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.control = control
    errors.install(app)
    app.add_middleware(Repeatable, repeats=control.repeats)  # the last one added is passed first
    app.add_middleware(Gate, accounts=control.accounts)
    app.add_middleware(Envelope)
    app.add_middleware(Access, watchers=telemetry.requests)
    for room in (databases, instances, builds, deployments, keys, connections, audit):
        app.include_router(room.router)
    document = openapi(app)
    metrics.install(app, telemetry.metrics, telemetry.access)

    @app.get("/v1/openapi.json", include_in_schema=False)
    def describe() -> JSONResponse:
        return JSONResponse(document)

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> dict[str, str]:
        return {"status": "stopping" if control.stopping else "ok", "version": reflexdb.__version__}

    return app


def openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the routes, in the contract's form: paths under the server /v1, bearer keys, no 422."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description="Database registrations, instance provisioning, builds and access control.",
        routes=app.routes,
        servers=[{"url": _PREFIX}],
    )
    document["paths"] = {path.removeprefix(_PREFIX): item for path, item in document["paths"].items()}
    for item in document["paths"].values():
        for operation in item.values():
            operation["responses"].pop("422", None)
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    scheme = {"type": "http", "scheme": "bearer", "description": "A management key rmk_<id>.<secret>"}
    document["components"]["securitySchemes"] = {"bearerAuth": scheme}
    document["security"] = [{"bearerAuth": []}]
    return document
