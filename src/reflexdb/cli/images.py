"""`reflexdb build export | push | pull`: the image of a build, taken elsewhere and back."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from reflexdb.cli import options, output
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.past import BuildArgument, named
from reflexdb.cli.session import session


def export(
    context: typer.Context,
    database: options.DatabaseArgument,
    build: BuildArgument = None,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write it, - for standard output.")
    ] = None,
    platform: Annotated[
        str | None, typer.Option(help="One that it was built for, like linux/arm64; the control plane's own else.")
    ] = None,
) -> None:
    """Write the image of a build into a file that `docker load`, `podman load`, skopeo and other OCI tools take."""
    with session(context).client() as client:
        database_id, build_id = named(client, database, build)
        content = client.export_image(database_id, build_id, platform)
    if file == Path("-"):
        sys.stdout.buffer.write(content)
        return
    target = file or Path(f"reflexdb-{build_id[:8]}.tar")
    _write(target, content)
    output.note(f"{target}: {len(content):,} bytes; `docker load -i` or `skopeo inspect oci-archive:` takes it")


def push(
    context: typer.Context,
    database: options.DatabaseArgument,
    build: BuildArgument = None,
    as_json: options.Json = False,
) -> None:
    """Put the image of a build, with its signature, into the control plane's registry."""
    with session(context).client() as client:
        answer = client.push_image(*named(client, database, build))
    if as_json:
        output.print_json(answer)
    else:
        output.say(f"{answer['address']}")


def pull(
    context: typer.Context,
    database: options.DatabaseArgument,
    build: BuildArgument = None,
    as_json: options.Json = False,
) -> None:
    """Have the image of a build at the control plane again, from its registry."""
    with session(context).client() as client:
        answer = client.pull_image(*named(client, database, build))
    if as_json:
        output.print_json(answer)
    else:
        output.say(f"the control plane has {answer['digest']}")


def _write(target: Path, content: bytes) -> None:
    """Whole or not at all."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        try:
            part.write_bytes(content)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as exc:
        raise CommandFailed(Exit.FAILED, f"{target} could not be written: {exc.strerror}") from exc
