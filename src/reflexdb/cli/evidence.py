"""`reflexdb build provenance | sbom | diff`: what can be shown of a build to who would check it."""

from __future__ import annotations

import base64
import json
from typing import Annotated

import typer

from reflexdb.cli import options, output, resolve
from reflexdb.cli.past import BuildArgument, named
from reflexdb.cli.session import session


def provenance(
    context: typer.Context,
    database: options.DatabaseArgument,
    build: BuildArgument = None,
    statement: Annotated[
        bool, typer.Option("--statement", help="The statement alone, out of its signed envelope.")
    ] = False,
    as_json: options.Json = True,  # noqa: ARG001 - it is nothing else
) -> None:
    """How a build was made: SLSA provenance v1 in a signed DSSE envelope, as JSON."""
    with session(context).client() as client:
        envelope = client.get_provenance(*named(client, database, build))
    output.print_json(json.loads(base64.b64decode(envelope["payload"])) if statement else envelope)


def sbom(
    context: typer.Context,
    database: options.DatabaseArgument,
    build: BuildArgument = None,
    as_json: options.Json = True,  # noqa: ARG001 - it is nothing else
) -> None:
    """What a build's image is made of: CycloneDX, as JSON."""
    with session(context).client() as client:
        output.print_json(client.get_sbom(*named(client, database, build)))


def diff(
    context: typer.Context,
    database: options.DatabaseArgument,
    build: BuildArgument = None,
    against: Annotated[
        str | None, typer.Option("--against", help="Another build, named alike; the newest one before it else.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """What is different in a build from another, and what of it breaks queries that the other answers."""
    with session(context).client() as client:
        database_id, build_id = named(client, database, build)
        other = resolve.build(client, database_id, against)["id"] if against else None
        found = client.diff_builds(database_id, build_id, other)
    if as_json:
        output.print_json(found)
        return
    output.table(
        ["", "WHAT", "TABLE", "NAME", f"IN #{found['against']['number']}", f"IN #{found['build']['number']}"],
        [
            ("breaks" if each["breaking"] else "", each["kind"].replace(".", " "), each["table"], each["name"],
             each["before"], each["after"])
            for each in found["changes"]
        ],
        empty=f"#{found['build']['number']} serves exactly what #{found['against']['number']} does",
    )  # fmt: skip
    if found["breaking"]:
        output.note("what breaks is judged against every query that could be asked, not against those that are")
