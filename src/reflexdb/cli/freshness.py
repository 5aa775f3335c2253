"""`reflexdb freshness | auto-rebuild`: how closely an instance follows its source, and what happens by itself when the
source's definitions change."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from reflexdb.cli import options, output, resolve
from reflexdb.cli.look import milliseconds, stale
from reflexdb.cli.session import session
from reflexdb.client.types import Freshness


class Switch(StrEnum):
    ON = "on"
    OFF = "off"


def freshness(context: typer.Context, database: options.DatabaseArgument, as_json: options.Json = False) -> None:
    """How the instance follows its source: lag, position, and which definitions changed there."""
    with session(context).client() as client:
        answer = client.freshness(resolve.database(client, database)["id"])
    tell(answer, as_json=as_json)


def auto_rebuild(
    context: typer.Context,
    database: options.DatabaseArgument,
    switch: Annotated[Switch, typer.Argument(help="Whether changed definitions are rebuilt by themselves.")],
    as_json: options.Json = False,
) -> None:
    """Rebuild by itself once a definition has changed at the source, or leave that to people."""
    with session(context).client() as client:
        item = resolve.database(client, database)
        answer = client.set_auto_rebuild(item["id"], enabled=switch is Switch.ON)
    if as_json:
        output.print_json(answer)
    else:
        output.say(f"{item['name']}: auto-rebuild {switch.value}")


def tell(answer: Freshness, *, as_json: bool) -> None:
    if as_json:
        output.print_json(answer)
        return
    output.facts(
        [
            ("mode", answer["mode"]),
            ("state", answer["state"]),
            ("last error", answer["lastError"]),
            ("position", answer["position"]),
            ("lag", milliseconds(answer["lagMs"])),
            ("snapshot age", milliseconds(answer["snapshotAgeMs"])),
            ("changed tables", [f"{each['table']}: {each['what']}" for each in answer["schemaChanged"]]),
            ("stale tables", stale(answer)),
            ("auto-rebuild", "on" if answer["autoRebuild"] else "off"),
            ("last rebuild", answer["lastRebuildAt"]),
            ("not again before", answer["nextRebuildAt"]),
            ("why not", answer["whyNot"]),
        ]
    )
