"""`reflexdb management-key ...`: the keys that the control plane itself is asked with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from reflexdb.cli import options, output, resolve
from reflexdb.cli.key import Expires, Name, expiry, tell_created, tell_keys
from reflexdb.cli.session import session
from reflexdb.client.types import ManagementKey

app = typer.Typer(help="Keys for the control plane: create, list, revoke.", no_args_is_help=True)


@app.command()
def create(context: typer.Context, name: Name = "cli", expires: Expires = None, as_json: options.Json = False) -> None:
    """Make a key for the API under /v1. It is shown this once; keep it."""
    until = expiry(expires, datetime.now(UTC))
    with session(context).client() as client:
        created = client.create_management_key(name, until)
    tell_created(created, as_json=as_json)


@app.command("list")
def list_keys(context: typer.Context, as_json: options.Json = False) -> None:
    """The account's management keys, without their secrets."""
    with session(context).client() as client:
        keys = client.list_management_keys()
    tell_keys(keys, as_json=as_json)


@app.command()
def revoke(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="Key id, id or name.")],
    as_json: options.Json = False,
) -> None:
    """Make a management key invalid."""
    with session(context).client() as client:
        chosen = resolve.management_key(client.list_management_keys(), key)
        client.revoke_management_key(chosen["id"])
    tell_revoked(chosen, as_json=as_json)


def tell_revoked(key: ManagementKey, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"revoked": key["id"]})
    else:
        output.say(f"management key {key['name']} ({key['keyId']}) revoked")
