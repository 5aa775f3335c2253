"""`reflexdb audit`: who changed what, when and from where, newest first."""

from __future__ import annotations

from typing import Annotated

import typer

from reflexdb.cli import options, output
from reflexdb.cli.past import Limit, Since, Until
from reflexdb.cli.session import session
from reflexdb.client.types import AuditEntry, AuditFilters


def audit(
    context: typer.Context,
    action: Annotated[str | None, typer.Option(help="One kind of change, like database.update.")] = None,
    target: Annotated[str | None, typer.Option(help="Id of the thing that was changed.")] = None,
    key: Annotated[str | None, typer.Option(help="Key id of the management key that did it.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    as_json: options.Json = False,
) -> None:
    """Every change that was accepted, with what it was before and after. Never has a secret."""
    filters: AuditFilters = {
        "action": action, "target": target, "key": key, "since": since, "until": until, "limit": limit,
    }  # fmt: skip
    with session(context).client() as client:
        answer = client.list_audit(**filters)
    if as_json:
        output.print_json(answer)
        return
    output.table(
        ["WHEN", "WHO", "FROM", "ACTION", "TARGET", "CHANGE"],
        [row(entry) for entry in answer["entries"]],
        empty="no change fits",
    )


def row(entry: AuditEntry) -> tuple[object, ...]:
    return (
        output.when(entry["at"]),
        entry["keyName"] or entry["trigger"],
        entry["address"],
        entry["action"],
        entry["targetId"],
        change(entry),
    )


def change(entry: AuditEntry) -> str | None:
    """Each changed value as `name: before -> after`; for what was made or removed, nothing: the action says it."""
    before, after = entry["before"] or {}, entry["after"] or {}
    return ", ".join(f"{name}: {before[name]} -> {after[name]}" for name in after if name in before) or None
