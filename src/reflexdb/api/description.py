"""The OpenAPI document of the routes, in the contract's form: paths under the server /v1, bearer keys, and what every
operation has in common.

The routes say what is theirs alone. What the middlewares answer to any of them, the headers they read and set, and
where an answer leads to (OpenAPI links, which tools follow) is added here, once for all. Pure; called by `app`.
"""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

PREFIX = "/v1"
Json = dict[str, Any]

_ANYWHERE = {
    "400": "The request does not fit its schema",
    "408": "The request did not arrive in time",
    "413": "The body is too large",
    "429": "Too many requests; Retry-After says when to come again",
    "431": "The address or the headers are too large",
    "503": "Not configured or not reachable, or too much at once",
}
_ON_POST = {
    "409": "Not possible in the present state",
    "422": "The Idempotency-Key was sent with another request",
}
_CHANGED = "If-Match names another state than the present one"
_CONDITIONAL = frozenset(
    {
        "updateDatabase", "deleteDatabase", "putSchemaConfig", "deleteSchemaConfig", "provisionDatabase",
        "rebuildDatabase", "redeployBuild", "terminateInstance", "pauseInstance", "resumeInstance", "resizeInstance",
        "reconfigureInstance", "reloadSnapshot", "pauseReplication", "resumeReplication", "updateConnection",
        "deleteConnection", "cancelBuild", "promoteDeployment", "abortDeployment",
    }
)  # fmt: skip
"""Operations whose change waits for If-Match to be met."""

_TAGGED = frozenset(
    {
        "registerDatabase", "getDatabase", "updateDatabase", "getSchemaConfig", "createConnection", "getConnection",
        "updateConnection",
    }
)  # fmt: skip
_LISTS = frozenset(
    {
        "listDatabases", "listConnections", "listBuilds", "listDeployments", "listApiKeys", "listManagementKeys",
        "listAudit",
    }
)  # fmt: skip

_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "Do it only where the ETag is still one of these, or * where there is any",
    "schema": {"type": "string"},
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Sent again with the same key and request, the first answer is given again for a day",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
_HEADERS = {
    "ETag": "Changes with anything that is shown; for If-Match",
    "Link": 'Where the list goes on: <?cursor=...>; rel="next", relative to this address',
    "RateLimit": "What this credential may still ask, and when it may ask everything again",
    "RateLimit-Policy": "What a credential may ask",
}

_DATABASE = ("getDatabase", "updateDatabase", "deleteDatabase", "getInstanceStatus", "provisionDatabase",
             "pauseInstance", "resumeInstance", "terminateInstance", "rebuildDatabase", "listBuilds",
             "listDeployments", "createApiKey", "putSchemaConfig")  # fmt: skip
_CONNECTION = ("getConnection", "updateConnection", "deleteConnection", "testStoredConnection")
_LINKS: dict[tuple[str, str], tuple[tuple[str, str, Json], ...]] = {
    ("registerDatabase", "201"): tuple(("id", each, {"id": "$response.body#/id"}) for each in _DATABASE),
    ("createConnection", "201"): (
        *(("connection", each, {"id": "$response.body#/connection/id"}) for each in _CONNECTION),
        *(("database", each, {"id": "$response.body#/database/id"}) for each in _DATABASE),
    ),
    ("provisionDatabase", "202"): (
        ("build", "getBuild", {"id": "$request.path.id", "build_id": "$response.body#/buildId"}),
        ("log", "getBuildLog", {"id": "$request.path.id", "build_id": "$response.body#/buildId"}),
    ),
    ("createApiKey", "201"): (("key", "revokeApiKey", {"id": "$request.path.id", "keyId": "$response.body#/keyId"}),),
    ("createManagementKey", "201"): (("key", "revokeManagementKey", {"id": "$response.body#/id"}),),
}
"""What may be asked next with what an answer says."""


def openapi(app: FastAPI) -> Json:
    """The document of everything that is routed."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description="Database registrations, instance provisioning, builds and access control.",
        routes=app.routes,
        servers=[{"url": PREFIX}],
    )
    document["paths"] = {path.removeprefix(PREFIX): item for path, item in document["paths"].items()}
    for item in document["paths"].values():
        for method, operation in item.items():
            _complete(method, operation)
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    how = "A management key rmk_<id>.<secret>, or a JWT of the configured OIDC issuer; /admin needs the operator's."
    scheme = {"type": "http", "scheme": "bearer", "description": how}
    document["components"]["securitySchemes"] = {"bearerAuth": scheme}
    document["security"] = [{"bearerAuth": []}]
    return document


def methods(document: Json) -> list[tuple[re.Pattern[str], set[str]]]:
    """For each path, as a pattern of what is requested, the methods that it knows; literal paths come first."""
    return [(_pattern(path), {method.upper() for method in item}) for path, item in _literal_first(document)]


def parameters(document: Json) -> list[tuple[re.Pattern[str], dict[str, list[str]]]]:
    """For each path, as `methods` has it, the URL parameters that each method knows."""
    return [
        (_pattern(path), {method.upper(): _in_url(operation) for method, operation in item.items()})
        for path, item in _literal_first(document)
    ]


def _literal_first(document: Json) -> list[tuple[str, Json]]:
    return sorted(document["paths"].items(), key=lambda each: each[0].count("{"))


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(PREFIX + re.sub(r"\{\w+\}", "[^/]+", path))


def _in_url(operation: Json) -> list[str]:
    return [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]


def _complete(method: str, operation: Json) -> None:
    name, responses = operation["operationId"], operation["responses"]
    responses.pop("422", None)  # the framework's own; ours is 400
    common = dict(_ANYWHERE)
    with_credential = operation.get("security") != []
    if not with_credential:  # nobody is counted, and nothing kept for anybody
        del common["429"]
    elif method == "post":
        common |= _ON_POST
        operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
    if name in _CONDITIONAL:
        common["412"] = _CHANGED
        operation.setdefault("parameters", []).append(_IF_MATCH)
    for status, meaning in common.items():
        responses.setdefault(status, _error(meaning))
    for status, response in responses.items():
        _answer(name, status, response, counted=with_credential)


def _answer(name: str, status: str, response: Json, *, counted: bool) -> None:
    told = []
    if status.startswith("2") and counted:
        told = ["RateLimit", "RateLimit-Policy"]
        told += ["ETag"] if name in _TAGGED else []
        told += ["Link"] if name in _LISTS else []
    if told:
        response["headers"] = {each: {"description": _HEADERS[each], "schema": {"type": "string"}} for each in told}
    if links := _LINKS.get((name, status)):
        response["links"] = {
            f"{target}_{what}": {"operationId": target, "parameters": parameters} for what, target, parameters in links
        }


def _error(meaning: str) -> Json:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": meaning, "content": {"application/json": {"schema": schema}}}
