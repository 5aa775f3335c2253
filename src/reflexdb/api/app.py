"""The HTTP application: the routes, the gate before them, and the description of them all.

`create_app(control)` is called by `serve` and by tests. A table of contents: resources are in their own modules.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse

import reflexdb
from reflexdb.api import (
    admin,
    admin_plans,
    audit,
    billing,
    builds,
    connections,
    databases,
    deployments,
    errors,
    instances,
    keys,
)
from reflexdb.api.envelope import Envelope
from reflexdb.api.gate import Gate
from reflexdb.api.repeats import Repeatable
from reflexdb.control.control import Control

_PREFIX = "/v1"


def create_app(control: Control) -> FastAPI:
    """The application on a control that the caller starts and stops."""
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
    for room in (databases, instances, builds, deployments, keys, connections, audit, billing, admin, admin_plans):
        app.include_router(room.router)
    document = openapi(app)

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
        description="Database registrations, instance provisioning, builds, billing and access control.",
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
    how = "A management key rmk_<id>.<secret>, or a JWT of the configured OIDC issuer; /admin needs the operator's."
    scheme = {"type": "http", "scheme": "bearer", "description": how}
    document["components"]["securitySchemes"] = {"bearerAuth": scheme}
    document["security"] = [{"bearerAuth": []}]
    return document
