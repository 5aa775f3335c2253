"""What a build does not serve, as people read it: of many entries the first, and where the others stand."""

from __future__ import annotations

from collections.abc import Sequence

from reflexdb.cli import output
from reflexdb.client.not_served_types import NotServed

SHOWN = 20


def lines(entries: Sequence[NotServed] | None, total: int | None, shown: int = SHOWN) -> list[str]:
    """One for each entry, with reason and remedy."""
    found = [line(entry) for entry in (entries or ())[:shown]]
    more = (total or 0) - len(found)
    return [*found, f"and {more:,} more: see `reflexdb build show --json` and the build's log"] if more > 0 else found


def tell(entries: Sequence[NotServed] | None, total: int | None) -> None:
    """Print them, if there are any."""
    for each in lines(entries, total):
        output.say(f"not served: {each}")


def line(entry: NotServed) -> str:
    part = entry["column"] or entry["relation"]
    name = f"{entry['table']}.{part}" if part else entry["table"]
    return " ".join(text for text in (f"{name}: {entry['reason']}", entry["remedy"]) if text)
