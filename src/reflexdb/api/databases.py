"""/v1/databases: registering, listing, changing and deleting databases, and their reflexdb.yaml."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response

from reflexdb.api import answers, bodies, paging, views
from reflexdb.api.conditions import tag, tagged
from reflexdb.api.context import Account, Controlled, as_json, errors
from reflexdb.control.databases import NewDatabase
from reflexdb.control.listing import ListedDatabase
from reflexdb.model.errors import InvalidRequest
from reflexdb.records.pages import EVERYTHING

router = APIRouter(prefix="/v1/databases", tags=["Databases"])

_COLUMNS = {
    "name": "name",
    "mysqlDb": "schema_name",
    "instanceSize": "instance_size",
    "logLevel": "log_level",
    "binlogServerId": "binlog_server_id",
    "buildComputeOverride": "build_compute_override",
    "reflexdbCustomDomain": "custom_domain",
    "pauseSchedule": "pause_schedule",
    "tags": "tags",
}
_YAML = {"application/yaml": {"schema": {"type": "string"}}}


def new_database(body: bodies.FirstDatabaseBody) -> NewDatabase:
    return NewDatabase(
        name=body.name,
        schema_name=body.mysqlDb,
        instance_size=body.instanceSize,
        log_level=body.logLevel,
        binlog_server_id=body.binlogServerId,
    )


@router.get(
    "",
    operation_id="listDatabases",
    summary="List databases",
    responses=errors(),
    response_model=list[answers.Database],
    response_model_exclude_unset=True,
)
def list_databases(
    account: Account,
    control: Controlled,
    request: Request,
    response: Response,
    page: paging.Paged,
    status: Annotated[answers.Status | None, Query()] = None,
) -> Response:
    """All databases of the account that are not deleted, each with the endpoint and health of its latest instance."""
    if page == EVERYTHING and status is None:
        return Response(control.databases.of_customer(account, _listed), media_type="application/json")
    found = control.databases.some_of_customer(account, _listed, page, status)
    shown = paging.cut(request, response, found, page, lambda each: each.place)
    body = b"[" + b",".join(each.shown for each in shown) + b"]"
    return Response(body, headers=response.headers, media_type="application/json")


def _listed(database: ListedDatabase) -> bytes:
    return as_json(views.database(database))


@router.post(
    "",
    status_code=201,
    operation_id="registerDatabase",
    summary="Register database",
    responses=errors(400, 404, 409),
    response_model=answers.Database,
    response_model_exclude_unset=True,
)
def register_database(
    body: bodies.CreateDatabaseBody, account: Account, control: Controlled, response: Response
) -> dict[str, Any]:
    """Registers a database under an existing connection. It starts as `registered`; provision builds and deploys it."""
    database_id = control.databases.create(account, body.connectionId, new_database(body))
    return tagged(response, views.database(control.databases.get(account, database_id)))


@router.get(
    "/{id}",
    operation_id="getDatabase",
    summary="Get database",
    responses=errors(404),
    response_model=answers.Database,
    response_model_exclude_unset=True,
)
def get_database(id: str, account: Account, control: Controlled, response: Response) -> dict[str, Any]:  # noqa: A002
    return tagged(response, views.database(control.databases.get(account, id)))


@router.patch(
    "/{id}",
    operation_id="updateDatabase",
    summary="Update database",
    responses=errors(400, 403, 404, 409),
    response_model=answers.Database,
    response_model_exclude_unset=True,
)
def update_database(
    id: str,  # noqa: A002
    body: bodies.UpdateDatabaseBody,
    account: Account,
    control: Controlled,
    response: Response,
) -> dict[str, Any]:
    """Changes settings. What reaches a running instance only through reconfigure, resize or rebuild is pending."""
    plain = body.model_dump(exclude_unset=True)
    control.databases.update(account, id, {_COLUMNS[name]: _column(name, value) for name, value in plain.items()})
    return tagged(response, views.database(control.databases.get(account, id)))


def _column(name: str, value: Any) -> Any:
    return tuple(value) if name == "tags" else value


@router.delete(
    "/{id}", status_code=204, operation_id="deleteDatabase", summary="Delete database", responses=errors(404, 409)
)
def delete_database(id: str, account: Account, control: Controlled) -> None:  # noqa: A002
    """Soft delete: the record and its builds are kept for audit and disappear from lists."""
    control.actions.delete(account, id)


@router.get(
    "/{id}/config",
    operation_id="getSchemaConfig",
    summary="Get reflexdb.yaml",
    response_class=Response,
    responses={200: {"description": "The stored file", "content": _YAML}, **errors(404)},
)
def get_config(id: str, account: Account, control: Controlled) -> Response:  # noqa: A002
    text = control.databases.config(account, id)
    return Response(text, media_type="application/yaml", headers={"ETag": tag(text)})


@router.put(
    "/{id}/config",
    status_code=204,
    operation_id="putSchemaConfig",
    summary="Upload reflexdb.yaml",
    responses=errors(400, 404),
    openapi_extra={"requestBody": {"required": True, "content": _YAML}},
)
async def put_config(id: str, request: Request, account: Account, control: Controlled) -> None:  # noqa: A002
    """Stored after validation; takes effect at the next provision or rebuild."""
    raw = await request.body()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise InvalidRequest(f"reflexdb.yaml must be UTF-8; byte {exc.start} is not") from exc
    await to_thread.run_sync(control.databases.put_config, account, id, text)


@router.delete(
    "/{id}/config",
    status_code=204,
    operation_id="deleteSchemaConfig",
    summary="Remove reflexdb.yaml",
    responses=errors(404),
)
def delete_config(id: str, account: Account, control: Controlled) -> None:  # noqa: A002
    """From the next rebuild, everything the source has is included. Removing what is not there is fine."""
    control.databases.put_config(account, id, None)
