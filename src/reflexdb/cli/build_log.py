"""`reflexdb build log`: what a build and its deployment said, as far as it is, or live to the end."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from reflexdb.cli import options, output
from reflexdb.cli.past import BuildArgument, named
from reflexdb.cli.session import session
from reflexdb.client import log_path


def log(
    context: typer.Context,
    database: options.DatabaseArgument,
    build: BuildArgument = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until build and deployment have ended.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """The log of a build and its deployments. Following survives a broken connection and a restarted control plane."""
    with session(context).client() as client:
        database_id, build_id = named(client, database, build)
        if follow:
            lines = client.build_log(database_id, build_id)
        else:
            lines = iter(client.read_log(log_path(database_id, build_id)))
        if as_json:
            output.print_json({"buildId": build_id, "lines": list(lines)})
            return
        for line in lines:
            output.say(line)
            sys.stdout.flush()
