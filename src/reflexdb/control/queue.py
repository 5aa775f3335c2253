"""Whose build is next: of the account that builds least, the one asked for first.

A build waits in its account's own line, and the lines take turns: an account that asks for a hundred builds delays
another's first build by one build, not by a hundred. Pure; used by the reconciler, which starts what it can in this
order, and by what is told of a waiting build.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush

from reflexdb.model.lifecycle import Status
from reflexdb.records.rows import DatabaseRow, JobRow


def expected_start(
    position: int, running: Sequence[datetime], slots: int, typical: timedelta, now: datetime
) -> datetime:
    """When the build at this place of the queue (1 is next) is likely to be begun, if every build takes as long as it
    typically does. `running`: since when those under way are carried out; `slots`: how many can be at once."""
    free = [max(now, since + typical) for since in sorted(running)[:slots]]
    free += [now] * (slots - len(free))
    heapify(free)
    for _ in range(position - 1):
        heappush(free, heappop(free) + typical)
    return free[0]


def in_turn(rows: Sequence[DatabaseRow], unfinished: Mapping[str, JobRow]) -> list[DatabaseRow]:
    """The same databases; those whose builds wait come last, in their turn."""
    waiting = [row for row in rows if row.status is Status.QUEUED and row.id in unfinished]
    waiting.sort(key=lambda row: (unfinished[row.id].created_at, row.id))
    ahead = Counter(row.customer_id for row in rows if row.status is Status.BUILDING)
    turns: dict[str, int] = {}
    for row in waiting:
        turns[row.id] = ahead[row.customer_id]
        ahead[row.customer_id] += 1
    waiting.sort(key=lambda row: turns[row.id])  # stable: within a turn, whoever asked first
    return [*(row for row in rows if row.id not in turns), *waiting]
