"""The oracle for definitions: each served table equals what the reader's own SELECT gives, or it is announced.

Unlike `Place.check` it holds also while tables do not fit the plan, or may not be read any more: each table is read by
itself, in the types it has now.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

from reflexdb.model.errors import ReflexError, SourceError
from reflexdb.model.plan import Plan
from reflexdb.sources import open_source
from reflexdb.sources.base import Source
from reflexdb.sync import feed
from reflexdb.sync.fitting import present
from reflexdb.sync.sending import Sending, frames
from tests.engine.serving import Server
from tests.following.place import CATCH_UP_S, Place

REFRESH_S = 3.0


@dataclass(frozen=True)
class Truth:
    """Of the source, at rest."""

    rows: list[bytes]
    """A line for each planned table."""
    misfits: dict[str, str]
    """Tables that can't be served as planned, and why."""


def truth(place: Place) -> Truth:
    with contextlib.closing(open_source(place.direct)) as source:
        now = present(place.plan, source.introspect(place.plan.schema))
        misfits = {place.plan.tables[index].name: why for index, why in now.changed.items()}
        with Server(place.program) as mirror, mirror.channel() as channel:
            channel.hello(feed.Role.SYNC, place.plan.fingerprint())
            with source.snapshot(now.plan) as any_view:
                sending = Sending(channel, any_view, lambda: True)
                with sending:
                    for index, table in enumerate(now.plan.tables):
                        sending.replace(index)
                        if table.name not in misfits:
                            misfits |= _send(source, now.plan, index, sending)
                    sending.commit()
            return Truth(place.served(mirror), misfits)


def _send(source: Source, plan: Plan, index: int, sending: Sending) -> dict[str, str]:
    """One table in a view of its own. Answers why it can't be read, by its name."""
    table = plan.tables[index]
    try:
        with source.snapshot(plan) as reader:
            for frame in frames(reader, index, table, sending.check):
                sending.channel.send(frame)
    except SourceError as error:
        return {table.name: error.message}
    return {}


def announced(place: Place) -> set[str]:
    return {found["table"] for found in place.health().get("schemaChanged") or []}


def agree(place: Place, limit_s: float = CATCH_UP_S) -> set[str]:
    """Wait until served and source agree. What is read at each interval is read now and then meanwhile. Returns the
    tables that are announced."""
    expected = truth(place)
    deadline, refreshed = time.monotonic() + limit_s, 0.0
    while wrong := _wrong(place, expected):
        assert time.monotonic() < deadline, "\n".join([*wrong, str(place.health()), *map(str, place.log()[-12:])])
        if time.monotonic() > refreshed + REFRESH_S:
            refreshed = time.monotonic()
            with contextlib.suppress(ReflexError, OSError):  # the process may just be starting
                place.order("refresh")
        time.sleep(0.05)
    return set(expected.misfits)


def _wrong(place: Place, expected: Truth) -> list[str]:
    if not place.status()["version"]:
        return ["the server has no rows"]
    told = announced(place)
    found = [f"{name} is not announced: {why}" for name, why in expected.misfits.items() if name not in told]
    found += [f"{name} is announced and fits" for name in sorted(told - expected.misfits.keys())]
    served = place.served()
    return found + [
        f"{table.name}: {one[:1500]!r} is served, {other[:1500]!r} is read"
        for table, one, other in zip(place.plan.tables, served, expected.rows, strict=True)
        if one != other and table.name not in expected.misfits
    ]
