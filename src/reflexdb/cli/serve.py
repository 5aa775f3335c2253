"""`reflexdb serve`: the control plane, in this process, until it is told to end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.output import note
from reflexdb.cli.session import session

_HAS_PASSWORD = re.compile(r"//[^/@]*:[^/]*@|[?&]password=", re.IGNORECASE)
RECORDS_HELP = (
    "postgresql://user@host:port/database to keep the records in; else a SQLite file with the data. "
    "The password: in the file that REFLEXDB_RECORDS_PASSWORD_FILE names, in this variable, or in ~/.pgpass."
)


def serve(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option(help="Where everything is kept; made on first start.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8400,
    public_url: Annotated[
        str | None, typer.Option(help="Address under which clients reach it, where that is another.")
    ] = None,
    min_sync_interval: Annotated[
        int | None, typer.Option(min=1, help="Shortest interval between two polls of a source, in seconds.")
    ] = None,
    records: Annotated[
        str | None,
        typer.Option(
            envvar="REFLEXDB_RECORDS",
            help=RECORDS_HELP,
        ),
    ] = None,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="Stop every instance at the end; else they go on serving.")
    ] = False,
) -> None:
    """Run the control plane. The first start makes the account and prints its management key once."""
    # Imported here, so that every other command starts without the server's libraries.
    from reflexdb.api.serve import run

    place = data or session(context).data
    note(f"control plane on {place}, port {port or 'free'} of {host}; Ctrl-C ends it")
    run(
        place,
        host,
        port,
        ephemeral=ephemeral,
        min_sync_interval_s=min_sync_interval,
        public_url=public_url,
        records=records_address(context, records),
    )


def records_address(context: typer.Context, records: str | None) -> str | None:
    """The records' address as given. One with a password is refused as an argument, which everybody here can read."""
    given = context.get_parameter_source("records")
    if records and given is not None and given.name == "COMMANDLINE" and _HAS_PASSWORD.search(records):
        raise CommandFailed(
            Exit.USAGE,
            "--records must not hold a password, which every user of this machine could read; "
            "put it into a file and name that in REFLEXDB_RECORDS_PASSWORD_FILE",
        )
    return records or None
