"""/v1/connections: creating, listing, changing, deleting and testing connections."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from reflexdb.api import answers, bodies, paging, views
from reflexdb.api.conditions import tagged
from reflexdb.api.context import Account, Controlled, errors
from reflexdb.api.databases import new_database
from reflexdb.control.connections import NewConnection, check_credentials, default_port
from reflexdb.control.wanted import AUTO
from reflexdb.model.errors import SourceError
from reflexdb.model.schema import Backend
from reflexdb.sources.base import SourceAddress

router = APIRouter(prefix="/v1/connections", tags=["Connections"])

_COLUMNS = {
    "name": "name",
    "mysqlHost": "host",
    "mysqlPort": "port",
    "availableSchemas": "available_schemas",
    "mysqlUser": "user",
    "mysqlPassword": "password",
    "syncMode": "sync_mode",
    "syncInterval": "sync_interval_s",
}


@router.get("", operation_id="listConnections", summary="List connections", responses=errors())
def list_connections(
    account: Account, control: Controlled, request: Request, response: Response, page: paging.Paged
) -> list[answers.Connection]:
    found = control.connections.of_customer(account, page)
    shown = paging.cut(request, response, found, page, lambda row: (row.created_at, row.id))
    return [answers.Connection(**views.connection(row, control.rooms.settings)) for row in shown]


@router.post(
    "", status_code=201, operation_id="createConnection", summary="Create connection", responses=errors(400, 409)
)
def create_connection(
    body: bodies.CreateConnectionBody, account: Account, control: Controlled, response: Response
) -> answers.CreatedConnection:
    """Creates a source connection and, if `instance` is given, a first database on it."""
    new = NewConnection(
        name=body.name,
        backend=Backend(body.backend),
        host=body.mysqlHost,
        port=body.mysqlPort,
        available_schemas=tuple(body.availableSchemas),
        user=body.mysqlUser or "",
        password=body.mysqlPassword or "",
        sync_mode=body.syncMode if "syncMode" in body.model_fields_set else AUTO,
        sync_interval_s=body.syncInterval,
    )
    first = new_database(body.instance) if body.instance is not None else None
    connection_id, database_id = control.connections.create(account, new, first)
    view = control.connections.view(account, connection_id)
    shown = tagged(response, views.connection_with_databases(view, control.rooms.settings))
    database = next((each for each in shown.pop("databases") if each["id"] == database_id), None)
    return answers.CreatedConnection.model_validate({"connection": shown, "database": database})


@router.get("/{id}", operation_id="getConnection", summary="Get connection", responses=errors(404))
def get_connection(
    id: str,  # noqa: A002
    account: Account,
    control: Controlled,
    response: Response,
) -> answers.ConnectionWithDatabases:
    """The connection with its databases."""
    shown = views.connection_with_databases(control.connections.view(account, id), control.rooms.settings)
    return answers.ConnectionWithDatabases.model_validate(tagged(response, shown))


@router.patch("/{id}", operation_id="updateConnection", summary="Update connection", responses=errors(400, 404, 409))
def update_connection(
    id: str,  # noqa: A002
    body: bodies.UpdateConnectionBody,
    account: Account,
    control: Controlled,
    response: Response,
) -> answers.Connection:
    """New credentials are used from the next provision, rebuild or resume."""
    changes = {_COLUMNS[name]: value for name, value in body.sent().items()}
    control.connections.update(account, id, changes)
    shown = tagged(
        response, views.connection_with_databases(control.connections.view(account, id), control.rooms.settings)
    )
    shown.pop("databases")
    return answers.Connection(**shown)


@router.delete(
    "/{id}",
    status_code=204,
    operation_id="deleteConnection",
    summary="Delete connection",
    responses=errors(404, 409),
)
def delete_connection(id: str, account: Account, control: Controlled) -> None:  # noqa: A002
    """Refused while databases use it."""
    control.connections.delete(account, id)


@router.post(
    "/test-connection",
    operation_id="testConnection",
    summary="Test connection (raw credentials)",
    responses=errors(400),
    response_model=answers.TestConnectionResult,
    response_model_exclude_unset=True,
)
def test_connection(body: bodies.TestConnectionBody, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: ARG001
    """Checks connectivity and discovers schemas. A failed test answers 200 with ok=false."""
    backend = Backend(body.backend)
    check_credentials(backend, body.mysqlUser or "", body.mysqlPassword or "")
    port = body.mysqlPort or default_port(backend)
    address = SourceAddress(backend, body.mysqlHost, port, body.mysqlUser or "", body.mysqlPassword or "")
    try:
        return views.test_result(control.connections.test(address))
    except SourceError as exc:
        return {"ok": False, "error": exc.message}


@router.post(
    "/{id}/test-connection",
    operation_id="testStoredConnection",
    summary="Test connection (stored credentials)",
    responses=errors(404),
    response_model=answers.TestConnectionResult,
    response_model_exclude_unset=True,
)
def test_stored_connection(id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """A failed test answers 200 with ok=false."""
    try:
        return views.test_result(control.connections.test_stored(account, id))
    except SourceError as exc:
        return {"ok": False, "error": exc.message}
