"""`reflexdb connection ...`: the sources that databases are read from.

A source's password is never an argument: it comes from a prompt, the first line of standard input, or the environment.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reflexdb.cli import options, output, resolve
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.session import session
from reflexdb.client import ReflexClient
from reflexdb.client.types import Connection, ConnectionFields, TestConnectionResult

app = typer.Typer(help="Sources: add, list, show, test, remove.", no_args_is_help=True)


class Backend(StrEnum):
    mysql = "mysql"
    postgres = "postgres"
    sqlite = "sqlite"


class SyncMode(StrEnum):
    auto = "auto"
    poll = "poll"
    binlog = "binlog"
    logical = "logical"


DEFAULT_PORTS = {Backend.mysql: 3306, Backend.postgres: 5432}


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call it.")],
    backend: Annotated[Backend, typer.Option(help="Kind of database; mysql is MariaDB too.")] = Backend.mysql,
    host: Annotated[str | None, typer.Option(help="Host name or address of the server.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Its port; 3306 or 5432 where none is given.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="User to log in as.")] = None,
    file: Annotated[Path | None, typer.Option(help="For sqlite: the database file.")] = None,
    schema: Annotated[
        list[str] | None, typer.Option(help="A schema that may be served; repeat it. All that are found, else.")
    ] = None,
    mode: Annotated[
        SyncMode,
        typer.Option(
            "--mode",
            help="How changes are noticed; auto follows the source where it is ready for that, and polls it else.",
        ),
    ] = SyncMode.auto,
    sync_interval: Annotated[int | None, typer.Option(min=5, max=3600, help="Seconds between polls.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Test a source and keep it. The password is asked for, or taken from REFLEXDB_SOURCE_PASSWORD."""
    if backend is Backend.sqlite:
        fields = sqlite_fields(host, file)
    else:
        fields = server_fields(backend, host, port, user, password_stdin=password_stdin)
    with session(context).client() as client:
        found = None if schema else discovered(client, fields)
        fields["availableSchemas"] = list(schema or ()) if found is None else found["availableSchemas"]
        fields["name"] = name
        if mode is not SyncMode.auto:
            fields["syncMode"] = mode.value
        if sync_interval is not None:
            fields["syncInterval"] = sync_interval
        created = client.create_connection(**fields)["connection"]
    if as_json:
        output.print_json(created)
        return
    output.say(f"connection {created['name']} added ({created['id']})")
    output.note(f"schemas: {', '.join(created['availableSchemas'])}")
    if mode is SyncMode.auto and found is not None:
        tell_mode(found)
    output.note(f"next: reflexdb database add NAME --connection {created['name']}")


def sqlite_fields(host: str | None, file: Path | None) -> ConnectionFields:
    """A SQLite source has a path and nothing else; a relative one is meant from here, not from where the server
    runs."""
    path = file or (Path(host) if host else None)
    if path is None:
        raise CommandFailed(Exit.USAGE, "--file is needed for a sqlite source")
    return {"backend": "sqlite", "mysqlHost": str(path.expanduser().absolute())}


def server_fields(
    backend: Backend, host: str | None, port: int | None, user: str | None, *, password_stdin: bool
) -> ConnectionFields:
    if not host or not user:
        raise CommandFailed(Exit.USAGE, f"--host and --user are needed for a {backend} source")
    return {
        "backend": backend.value,
        "mysqlHost": host,
        "mysqlPort": port or DEFAULT_PORTS[backend],
        "mysqlUser": user,
        "mysqlPassword": options.source_password(user, from_stdin=password_stdin),
    }


def discovered(client: ReflexClient, fields: ConnectionFields) -> TestConnectionResult:
    """What a test of the source finds, schemas above all; a source that cannot be tested is not added blindly."""
    result = client.test_connection(**fields)
    if not result["ok"]:
        raise CommandFailed(Exit.FAILED, f"the source cannot be used: {result.get('error', 'no reason was given')}")
    if not result.get("availableSchemas"):
        raise CommandFailed(Exit.FAILED, "the source answers, but this user sees no schema in it; grant SELECT first")
    return result


def tell_mode(result: TestConnectionResult) -> None:
    """How changes will be noticed where no mode was asked for, and why."""
    capture = result.get("binlog")
    if capture is None:
        output.note("changes: by polling")
    elif capture["ready"]:
        output.note("changes: by following the source")
    else:
        output.note(
            f"changes: by polling, since the source is not ready to be followed: {'; '.join(capture['issues'])}"
        )


@app.command("list")
def list_connections(context: typer.Context, as_json: options.Json = False) -> None:
    """All connections."""
    with session(context).client() as client:
        connections = client.list_connections()
    if as_json:
        output.print_json(connections)
        return
    output.table(
        ["NAME", "BACKEND", "SOURCE", "USER", "SCHEMAS", "ID"],
        [
            (item["name"], item["backend"], source_of(item), item["mysqlUser"], item["availableSchemas"], item["id"])
            for item in connections
        ],
        empty="no connections yet; add one with `reflexdb connection add`",
    )


def source_of(item: Connection) -> str:
    return item["mysqlHost"] if item["backend"] == "sqlite" else f"{item['mysqlHost']}:{item['mysqlPort']}"


@app.command()
def show(context: typer.Context, connection: options.ConnectionArgument, as_json: options.Json = False) -> None:
    """One connection and its databases."""
    with session(context).client() as client:
        item = client.get_connection(resolve.connection(client, connection)["id"])
    if as_json:
        output.print_json(item)
        return
    output.facts(
        [
            ("name", item["name"]),
            ("id", item["id"]),
            ("backend", item["backend"]),
            ("source", source_of(item)),
            ("user", item["mysqlUser"]),
            ("schemas", item["availableSchemas"]),
            ("sync modes", item["allowedSyncModes"]),
            ("shortest interval", f"{item['minSyncInterval']} s"),
            ("databases", [database["name"] for database in item.get("databases", [])]),
            ("created", output.when(item["createdAt"])),
        ]
    )


@app.command("test")
def try_out(context: typer.Context, connection: options.ConnectionArgument, as_json: options.Json = False) -> None:
    """Log in to the source with the kept credentials and look around. Ends with 1 where that fails."""
    with session(context).client() as client:
        result = client.test_stored_connection(resolve.connection(client, connection)["id"])
    if as_json:
        output.print_json(result)
    else:
        tell_test(result)
    if not result["ok"]:
        raise typer.Exit(int(Exit.FAILED))


def tell_test(result: TestConnectionResult) -> None:
    if not result["ok"]:
        output.note(f"reflexdb: the source cannot be used: {result.get('error', 'no reason was given')}")
        return
    capture = result.get("binlog")
    size = result.get("estimatedSizeGb")
    output.facts(
        [
            ("connection", "ok"),
            ("latency", f"{result['latencyMs']:.1f} ms" if "latencyMs" in result else None),
            ("size", f"{size:.3f} GB" if size is not None else None),
            ("schemas", result.get("availableSchemas")),
            ("change capture", None if capture is None else ("ready" if capture["ready"] else "not ready")),
            ("", "; ".join(capture["issues"]) if capture else None),
        ]
    )


@app.command()
def rm(
    context: typer.Context,
    connection: options.ConnectionArgument,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Forget a connection; refused while databases use it."""
    with session(context).client() as client:
        item = resolve.connection(client, connection)
        options.confirm(f"Remove connection {item['name']}?", yes=yes)
        client.delete_connection(item["id"])
    if as_json:
        output.print_json({"removed": item["id"]})
    else:
        output.say(f"connection {item['name']} removed")
