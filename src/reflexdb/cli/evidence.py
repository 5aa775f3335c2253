"""`reflexdb build provenance | sbom | diff | verify`: what can be shown of a build to who would check it."""

from __future__ import annotations

import base64
import json
from typing import Annotated

import typer

from reflexdb.cli import not_served, options, output, resolve
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.past import BuildArgument, named
from reflexdb.cli.session import session
from reflexdb.client.evidence_types import PlanChange, Verification


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
            (_breaks(each), each["kind"].replace(".", " "), each["table"], each["name"],
             each["before"], each["after"])
            for each in found["changes"]
        ],
        empty=f"#{found['build']['number']} serves exactly what #{found['against']['number']} does",
    )  # fmt: skip
    for each in found["changes"]:
        if each["why"]:
            output.note(f"  {each['table']} {each['name'] or ''}: {each['why']}")
    for entry in found["notServed"]:
        output.note(f"not served any more, or not served yet: {not_served.line(entry)}")
    if not found["breaking"]:
        return
    seen = found["seen"]
    if seen is None:
        output.note("what breaks is judged against every query that could be asked: none was seen here yet")
    else:
        output.note(
            f"judged against {seen['queries']:,} queries of {seen['shapes']:,} shapes, seen since {seen['since']}"
        )
    if seen and seen["notToldApart"]:
        output.note(f"{seen['notToldApart']:,} more queries were too various to be told apart")
    for each in found["changes"]:
        for example in (each["breaks"] or {}).get("examples", ()):
            output.note(f"  {each['table']} {each['name'] or ''}: {example}")


def _breaks(change: PlanChange) -> str:
    broken = change["breaks"]
    if not change["breaking"] or broken is None:
        return "breaks" if change["breaking"] else ""
    return f"breaks {broken['queries']:,} seen" if broken["shapes"] else "breaks none seen"


def verify(
    context: typer.Context,
    database: options.DatabaseArgument,
    build: BuildArgument = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Compile the engine anew, too, which takes a minute or so.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Make a build's image again from what is recorded of it, and say whether it is the same, byte for byte."""
    with session(context).client() as client:
        found = client.verify_build(*named(client, database, build), fresh=fresh)
    if as_json:
        output.print_json(found)
    else:
        tell_verified(found)
    if not found["identical"]:
        raise CommandFailed(Exit.FAILED, f"build #{found['build']['number']} comes out as another image now")


def tell_verified(found: Verification) -> None:
    output.facts(
        [
            ("build", f"#{found['build']['number']} {found['build']['id']}"),
            ("verdict", "the same, byte for byte" if found["identical"] else "different"),
            ("recorded", found["recordedDigest"]),
            ("made again", found["rebuiltDigest"]),
            ("engine", "compiled anew" if found["engine"] == "fresh" else "from the cache, verified"),
            ("took", f"{found['durationMs'] / 1000:.2f} s"),
        ]
    )
    if found["differences"]:
        output.table(
            ["BLOB", "FILE", "WHERE", "RECORDED", "MADE AGAIN"],
            [
                (each["blob"], each["file"], each["at"], each["recorded"], each["rebuilt"])
                for each in found["differences"]
            ],
            empty="",
        )
