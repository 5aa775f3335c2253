"""`reflexdb key ...`: the API keys that queries are asked with, each for one database."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from reflexdb.cli import options, output, resolve
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.session import session
from reflexdb.client.types import ApiKey, ManagementKey

app = typer.Typer(help="API keys for queries: create, list, revoke.", no_args_is_help=True)
Name = Annotated[str, typer.Option("--name", "-n", help="What it is for.")]
Expires = Annotated[str | None, typer.Option("--expires", help="When it ends: 30d, 12h, or 2027-01-31T00:00Z.")]
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@app.command()
def create(
    context: typer.Context,
    database: options.DatabaseArgument,
    name: Name = "cli",
    expires: Expires = None,
    as_json: options.Json = False,
) -> None:
    """Make a key. It is shown this once; keep it."""
    until = expiry(expires, datetime.now(UTC))
    with session(context).client() as client:
        created = client.create_api_key(resolve.database(client, database)["id"], name, until)
    tell_created(created, as_json=as_json)


def tell_created(created: ApiKey | ManagementKey, *, as_json: bool) -> None:
    """The key alone on standard output, so that a script can take it; the rest beside it."""
    if as_json:
        output.print_json(created)
        return
    output.say(created["key"])
    output.note(f"key {created['name']} ({created['keyId']}); it is not shown again")


def expiry(text: str | None, now: datetime) -> str | None:
    """A span from now or a time, as the API wants it."""
    if text is None:
        return None
    if span := re.fullmatch(r"(\d{1,5})([mhdw])", text.strip()):
        until = now + timedelta(**{UNITS[span[2]]: int(span[1])})
    else:
        try:
            until = datetime.fromisoformat(text.strip())
        except ValueError:
            raise CommandFailed(Exit.USAGE, f"--expires {text!r} is neither a span like 30d nor a time") from None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@app.command("list")
def list_keys(context: typer.Context, database: options.DatabaseArgument, as_json: options.Json = False) -> None:
    """The keys of a database, without their secrets."""
    with session(context).client() as client:
        keys = client.list_api_keys(resolve.database(client, database)["id"])
    tell_keys(keys, as_json=as_json)


def tell_keys(keys: list[ApiKey] | list[ManagementKey], *, as_json: bool) -> None:
    if as_json:
        output.print_json(keys)
        return
    output.table(
        ["NAME", "KEY ID", "CREATED", "EXPIRES", "LAST USED", "REVOKED"],
        [
            (
                item["name"],
                item["keyId"],
                output.when(item["createdAt"]),
                output.when(item.get("expiresAt")),
                output.when(item.get("lastUsedAt")),
                output.when(item.get("revokedAt")),
            )
            for item in keys
        ],
        empty="no keys yet",
    )


@app.command()
def revoke(
    context: typer.Context,
    database: options.DatabaseArgument,
    key: Annotated[str, typer.Argument(help="Key id, id or name.")],
    as_json: options.Json = False,
) -> None:
    """Make a key invalid, within a second."""
    with session(context).client() as client:
        item = resolve.database(client, database)
        chosen = resolve.api_key(client.list_api_keys(item["id"]), key)
        client.revoke_api_key(item["id"], chosen["keyId"])
    if as_json:
        output.print_json({"revoked": chosen["keyId"]})
    else:
        output.say(f"key {chosen['name']} ({chosen['keyId']}) revoked")
