"""`reflexdb build pin | unpin`: whether the image of a build stays whatever comes after it."""

from __future__ import annotations

from typing import Annotated

import typer

from reflexdb.cli import options, output
from reflexdb.cli.past import named
from reflexdb.cli.session import session

Build = Annotated[str, typer.Argument(help="Id of a build, how it begins, or its number like #3.")]


def pin(
    context: typer.Context, database: options.DatabaseArgument, build: Build, as_json: options.Json = False
) -> None:
    """Keep the image of a build, so that it can always be deployed again."""
    with session(context).client() as client:
        database_id, chosen = named(client, database, build)
        client.pin_build(database_id, chosen)
    _tell(chosen, pinned=True, as_json=as_json)


def unpin(
    context: typer.Context, database: options.DatabaseArgument, build: Build, as_json: options.Json = False
) -> None:
    """Let the image of a build go once enough newer ones are there."""
    with session(context).client() as client:
        database_id, chosen = named(client, database, build)
        client.unpin_build(database_id, chosen)
    _tell(chosen, pinned=False, as_json=as_json)


def _tell(build_id: str, *, pinned: bool, as_json: bool) -> None:
    if as_json:
        output.print_json({"buildId": build_id, "pinned": pinned})
    else:
        output.say(f"build {build_id} is {'pinned: its image stays' if pinned else 'not pinned any more'}")
