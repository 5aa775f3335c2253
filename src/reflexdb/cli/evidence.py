"""`reflexdb build provenance | sbom`: what can be shown of a build to who would check it. JSON, for tools."""

from __future__ import annotations

import base64
import json
from typing import Annotated

import typer

from reflexdb.cli import options, output
from reflexdb.cli.past import BuildArgument, named
from reflexdb.cli.session import session


def provenance(
    context: typer.Context,
    database: options.DatabaseArgument,
    build: BuildArgument = None,
    statement: Annotated[
        bool, typer.Option("--statement", help="The statement alone, out of its signed envelope.")
    ] = False,
) -> None:
    """How a build was made: SLSA provenance v1 in a signed DSSE envelope, as JSON."""
    with session(context).client() as client:
        envelope = client.get_provenance(*named(client, database, build))
    output.print_json(json.loads(base64.b64decode(envelope["payload"])) if statement else envelope)


def sbom(context: typer.Context, database: options.DatabaseArgument, build: BuildArgument = None) -> None:
    """What a build's image is made of: CycloneDX, as JSON."""
    with session(context).client() as client:
        output.print_json(client.get_sbom(*named(client, database, build)))
