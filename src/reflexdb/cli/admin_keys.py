"""`reflexdb admin keys ...`: management keys of any customer: its first one, or one in place of all that it lost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from reflexdb.cli import options, resolve
from reflexdb.cli.admin_customers import CustomerArgument
from reflexdb.cli.admin_customers import resolve as customer_of
from reflexdb.cli.key import Expires, Name, expiry, tell_created, tell_keys
from reflexdb.cli.management_key import tell_revoked
from reflexdb.cli.session import session

app = typer.Typer(help="Management keys of a customer: create, list, revoke.", no_args_is_help=True)


@app.command()
def create(
    context: typer.Context,
    customer: CustomerArgument,
    name: Name = "first key",
    expires: Expires = None,
    as_json: options.Json = False,
) -> None:
    """Make a management key for a customer. It is shown this once."""
    until = expiry(expires, datetime.now(UTC))
    with session(context).operator() as client:
        created = client.create_customer_key(customer_of(client, customer)["id"], name, until)
    tell_created(created, as_json=as_json)


@app.command("list")
def list_keys(context: typer.Context, customer: CustomerArgument, as_json: options.Json = False) -> None:
    """A customer's management keys, without their secrets."""
    with session(context).operator() as client:
        keys = client.list_customer_keys(customer_of(client, customer)["id"])
    tell_keys(keys, as_json=as_json)


@app.command()
def revoke(
    context: typer.Context,
    customer: CustomerArgument,
    key: Annotated[str, typer.Argument(help="Key id, id or name.")],
    as_json: options.Json = False,
) -> None:
    """Make a customer's management key invalid."""
    with session(context).operator() as client:
        owner = customer_of(client, customer)["id"]
        chosen = resolve.management_key(client.list_customer_keys(owner), key)
        client.revoke_customer_key(owner, chosen["id"])
    tell_revoked(chosen, as_json=as_json)
