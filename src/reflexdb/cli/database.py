"""`reflexdb database ...`: what is served, each a schema of a connection."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reflexdb.cli import options, output, resolve
from reflexdb.cli.config import read_config, store_config
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.session import session
from reflexdb.client.types import Connection, Database, DatabaseFields

app = typer.Typer(help="Databases: add, list, show, configure, remove.", no_args_is_help=True)


class Size(StrEnum):
    nano = "nano"
    small = "small"
    medium = "medium"
    large = "large"
    xlarge = "xlarge"
    xxlarge = "2xlarge"


class LogLevel(StrEnum):
    debug = "debug"
    info = "info"
    warn = "warn"
    error = "error"


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call it; unique within the connection.")],
    connection: Annotated[str, typer.Option("--connection", "-c", help="Name or id of its connection.")],
    schema: Annotated[
        str | None, typer.Option(help="Schema on the source; may be left out where the connection has one only.")
    ] = None,
    size: Annotated[Size, typer.Option(help="Memory and CPU of the instance.")] = Size.nano,
    log_level: Annotated[LogLevel, typer.Option(help="How much the instance logs.")] = LogLevel.info,
    config: Annotated[Path | None, typer.Option(help="A reflexdb.yaml to begin with.")] = None,
    as_json: options.Json = False,
) -> None:
    """Register a schema of a connection as a database. `provision` then builds and serves it."""
    text = read_config(config) if config else None
    with session(context).client() as client:
        parent = resolve.connection(client, connection)
        fields: DatabaseFields = {
            "connectionId": parent["id"],
            "name": name,
            "mysqlDb": schema or only_schema(parent),
            "instanceSize": size.value,
            "logLevel": log_level.value,
        }
        created = client.register_database(**fields)
        if text is not None:
            store_config(client, created["id"], text)
    if as_json:
        output.print_json(created)
        return
    output.say(f"database {created['name']} registered ({created['id']})")
    output.note(f"next: reflexdb provision {created['name']}")


def only_schema(connection: Connection) -> str:
    schemas = connection["availableSchemas"]
    if len(schemas) != 1:
        listed = ", ".join(output.safe(schema) for schema in schemas)
        raise CommandFailed(Exit.USAGE, f"the connection has several schemas; say --schema, one of: {listed}")
    return schemas[0]


@app.command("list")
def list_databases(context: typer.Context, as_json: options.Json = False) -> None:
    """All databases with status, health and endpoint."""
    with session(context).client() as client:
        databases = client.list_databases()
        names = {} if as_json or not databases else {item["id"]: item["name"] for item in client.list_connections()}
    if as_json:
        output.print_json(databases)
    else:
        print_databases(databases, names)


def print_databases(databases: list[Database], connections: dict[str, str]) -> None:
    output.table(
        ["NAME", "STATUS", "HEALTH", "CONNECTION", "SCHEMA", "SIZE", "ENDPOINT", "ID"],
        [
            (
                item["name"],
                item["status"],
                item.get("healthStatus"),
                connections.get(item["connectionId"]),
                item["mysqlDb"],
                item["instanceSize"],
                item.get("endpointUrl"),
                item["id"],
            )
            for item in databases
        ],
        empty="no databases yet; register one with `reflexdb database add`",
    )


@app.command()
def show(context: typer.Context, database: options.DatabaseArgument, as_json: options.Json = False) -> None:
    """One database as it is registered."""
    with session(context).client() as client:
        item = client.get_database(resolve.database(client, database)["id"])
        parent = None if as_json else client.get_connection(item["connectionId"])
    if as_json or parent is None:
        output.print_json(item)
        return
    output.facts(
        [
            ("name", item["name"]),
            ("id", item["id"]),
            ("status", item["status"]),
            ("health", item.get("healthStatus")),
            ("last error", item.get("lastError")),
            ("endpoint", item.get("endpointUrl")),
            ("connection", parent["name"]),
            ("schema", item["mysqlDb"]),
            ("size", f"{item['instanceSize']} ({item['taskCpu'] / 1024:g} CPU, {item['taskMemoryMb']} MiB)"),
            ("sync", f"{item['syncMode']}, every {item['syncInterval']} s"),
            ("log level", item["logLevel"]),
            ("tags", [tag["label"] for tag in item.get("tags", [])]),
            ("created", output.when(item.get("createdAt"))),
        ]
    )


@app.command()
def rm(
    context: typer.Context, database: options.DatabaseArgument, yes: options.Yes = False, as_json: options.Json = False
) -> None:
    """Delete a database's record; terminate it first where it serves."""
    with session(context).client() as client:
        item = resolve.database(client, database)
        options.confirm(f"Delete database {item['name']}?", yes=yes)
        client.delete_database(item["id"])
    if as_json:
        output.print_json({"removed": item["id"]})
    else:
        output.say(f"database {item['name']} removed")
