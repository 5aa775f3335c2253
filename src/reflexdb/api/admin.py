"""/v1/admin/customers: whom the control plane serves, their first keys, and the issuer's users that speak for them.

The operator's alone: the router lets nobody else in.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from reflexdb.api import admin_forms as forms
from reflexdb.api import answers, bodies, paging, views
from reflexdb.api.context import ADMIN_ONLY, Controlled, errors

router = APIRouter(prefix="/v1/admin/customers", tags=["Administration"], dependencies=[ADMIN_ONLY])

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


@router.get(
    "",
    operation_id="listCustomers",
    summary="List customers",
    responses=errors(400, 403),
    response_model=forms.Customers,
)
def list_customers(
    control: Controlled,
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query()] = None,
) -> dict[str, Any]:
    """Every customer, oldest first. The first one is the operator's own."""
    rows, more = control.customers.page(paging.read_moment(request, cursor), limit)
    following = paging.moment_cursor(request, rows[-1].created_at, rows[-1].id) if more else None
    paging.link_next(request, response, following)
    return {"customers": [forms.customer(row) for row in rows], "nextCursor": following}


@router.post(
    "",
    status_code=201,
    operation_id="createCustomer",
    summary="Create customer",
    responses=errors(400, 403),
    response_model=forms.Customer,
)
def create_customer(body: forms.CreateCustomerBody, control: Controlled) -> dict[str, Any]:
    """A customer without keys: create one for it, or link a user of the issuer."""
    return forms.customer(control.customers.create(body.name))


@router.get(
    "/{id}",
    operation_id="getCustomer",
    summary="Get customer",
    responses=errors(403, 404),
    response_model=forms.Customer,
)
def get_customer(id: str, control: Controlled) -> dict[str, Any]:  # noqa: A002
    return forms.customer(control.customers.get(id))


@router.patch(
    "/{id}",
    operation_id="updateCustomer",
    summary="Rename, suspend or restore customer",
    responses=errors(400, 403, 404),
    response_model=forms.Customer,
)
def update_customer(id: str, body: forms.UpdateCustomerBody, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """A suspended customer's keys and tokens are refused from now on; its instances go on serving queries."""
    return forms.customer(control.customers.change(id, body.name, body.suspended))


@router.get(
    "/{id}/management-keys",
    operation_id="listCustomerManagementKeys",
    summary="List management keys of a customer",
    responses=errors(403, 404),
    response_model=list[answers.ManagementKey],
)
def list_keys(id: str, control: Controlled) -> list[dict[str, Any]]:  # noqa: A002
    return [views.management_key(row) for row in control.accounts.keys(control.customers.get(id).id)]


@router.post(
    "/{id}/management-keys",
    status_code=201,
    operation_id="createCustomerManagementKey",
    summary="Create management key for a customer",
    responses=errors(400, 403, 404),
    response_model=answers.CreatedManagementKey,
)
def create_key(id: str, body: bodies.NewKeyBody, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """For a customer's first key, or where it has lost its own. The key is answered once."""
    made = control.accounts.create_key(control.customers.get(id).id, body.name, body.expiresAt)
    return {**views.management_key(made.row), "key": made.key}


@router.delete(
    "/{id}/management-keys/{keyId}",
    status_code=204,
    operation_id="revokeCustomerManagementKey",
    summary="Revoke management key of a customer",
    responses=errors(403, 404),
)
def revoke_key(id: str, keyId: str, control: Controlled) -> None:  # noqa: A002, N803
    control.accounts.revoke_key(control.customers.get(id).id, keyId)


@router.get(
    "/{id}/logins",
    operation_id="listCustomerLogins",
    summary="List logins of a customer",
    responses=errors(403, 404),
    response_model=list[forms.Login],
)
def list_logins(id: str, control: Controlled) -> list[dict[str, Any]]:  # noqa: A002
    """The issuer's users that speak for the customer; not those whose tokens name it in a claim."""
    return [forms.login(row) for row in control.customers.logins(id)]


@router.post(
    "/{id}/logins",
    status_code=201,
    operation_id="createCustomerLogin",
    summary="Link a user of the issuer to a customer",
    responses=errors(400, 403, 404, 409, 503),
    response_model=forms.Login,
)
def create_login(id: str, body: forms.CreateLoginBody, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """From now on the user with this `sub` speaks for the customer."""
    return forms.login(control.customers.link(id, body.subject, body.name or body.subject))


@router.delete(
    "/{id}/logins/{loginId}",
    status_code=204,
    operation_id="deleteCustomerLogin",
    summary="Unlink a user of the issuer from a customer",
    responses=errors(403, 404),
)
def delete_login(id: str, loginId: str, control: Controlled) -> None:  # noqa: A002, N803
    control.customers.unlink(id, loginId)
