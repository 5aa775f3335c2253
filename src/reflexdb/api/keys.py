"""/v1/databases/{id}/api-keys: the keys an instance accepts; /v1/account/management-keys: the keys this API accepts."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from reflexdb.api import answers, bodies, paging, views
from reflexdb.api.context import Account, Controlled, errors
from reflexdb.records.pages import KeyStatus

OfStatus = Annotated[KeyStatus | None, Query()]
router = APIRouter(prefix="/v1", tags=["Keys"])


@router.get(
    "/databases/{id}/api-keys",
    operation_id="listApiKeys",
    summary="List API keys",
    responses=errors(404),
    response_model=list[answers.ApiKey],
)
def list_api_keys(
    id: str,  # noqa: A002
    account: Account,
    control: Controlled,
    request: Request,
    response: Response,
    page: paging.Paged,
    status: OfStatus = None,
) -> list[dict[str, Any]]:
    found = control.keys.of_database(account, id, page, status)
    shown = paging.cut(request, response, found, page, lambda row: (row.created_at, row.id))
    return [views.api_key(row) for row in shown]


@router.post(
    "/databases/{id}/api-keys",
    status_code=201,
    operation_id="createApiKey",
    summary="Create API key",
    responses=errors(400, 404),
    response_model=answers.CreatedApiKey,
)
def create_api_key(id: str, body: bodies.NewKeyBody, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Creates a query key `rxk_<keyId>.<hmac>` for this database's instance. The full key is answered once."""
    made = control.keys.create(account, id, body.name, body.expiresAt)
    return {**views.api_key(made.row), "key": made.key}


@router.delete(
    "/databases/{id}/api-keys/{keyId}",
    status_code=204,
    operation_id="revokeApiKey",
    summary="Revoke API key",
    responses=errors(404),
)
def revoke_api_key(id: str, keyId: str, account: Account, control: Controlled) -> None:  # noqa: A002, N803
    control.keys.revoke(account, id, keyId)


@router.get(
    "/account/management-keys",
    operation_id="listManagementKeys",
    summary="List management keys",
    responses=errors(),
    response_model=list[answers.ManagementKey],
)
def list_management_keys(
    account: Account,
    control: Controlled,
    request: Request,
    response: Response,
    page: paging.Paged,
    status: OfStatus = None,
) -> list[dict[str, Any]]:
    found = control.accounts.keys(account, page, status)
    shown = paging.cut(request, response, found, page, lambda row: (row.created_at, row.id))
    return [views.management_key(row) for row in shown]


@router.post(
    "/account/management-keys",
    status_code=201,
    operation_id="createManagementKey",
    summary="Create management key",
    responses=errors(400),
    response_model=answers.CreatedManagementKey,
)
def create_management_key(body: bodies.NewKeyBody, account: Account, control: Controlled) -> dict[str, Any]:
    """Generates `rmk_<id>.<secret>`, usable as a bearer token on every /v1 route. The key is answered once."""
    made = control.accounts.create_key(account, body.name, body.expiresAt)
    return {**views.management_key(made.row), "key": made.key}


@router.delete(
    "/account/management-keys/{id}",
    status_code=204,
    operation_id="revokeManagementKey",
    summary="Revoke management key",
    responses=errors(404),
)
def revoke_management_key(id: str, account: Account, control: Controlled) -> None:  # noqa: A002
    control.accounts.revoke_key(account, id)
