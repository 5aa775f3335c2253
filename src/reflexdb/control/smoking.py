"""The smoke tests of a build: a few rows of its source, a try of its server, and the results in the records.

Handed to the builder by the worker, and carried out on the builder's thread. What is kept of the results is bounded:
every failure first. The source is let go of before the server is asked anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reflexdb.build.base import Check, Smoke, SmokeTest, Trial
from reflexdb.control.rooms import Rooms
from reflexdb.deploy.smoke import try_out
from reflexdb.records import builds
from reflexdb.sources.apart import TakeSample
from reflexdb.sources.base import SourceAddress

MAX_KEPT = 500
"""Results of one build."""
MAX_QUERY_CHARS = 1_000
MAX_MESSAGE_CHARS = 500


def smoke_of(rooms: Rooms, build_id: str, address: Callable[[], SourceAddress], check: Check) -> Smoke:
    """What tries the server of this build out, on rows of the source at the address of that moment; `check` may end the
    reading of them."""

    def told(results: Sequence[SmokeTest]) -> None:
        with rooms.store.write() as tx:
            builds.change(tx, build_id, smoke_tests=[_kept(each) for each in _chosen(results)])

    def smoke(trial: Trial) -> None:
        sample, taken_at = rooms.asking.ask(TakeSample(address(), trial.plan), check)
        rows = sum(each.rows for each in sample)
        trial.log(f"smoke: trying the server out on {rows} rows of {len(sample)} tables")
        try_out(trial, sample, taken_at, told)

    return smoke


def _chosen(results: Sequence[SmokeTest]) -> Sequence[SmokeTest]:
    """All, or every failure that fits and as many others, in their order."""
    if len(results) <= MAX_KEPT:
        return results
    by_worth = sorted(range(len(results)), key=lambda place: (results[place].passed, place))
    return [results[place] for place in sorted(by_worth[:MAX_KEPT])]


def _kept(test: SmokeTest) -> dict[str, object]:
    return {
        "name": _cut(test.name, MAX_QUERY_CHARS),
        "query": _cut(test.query, MAX_QUERY_CHARS),
        "passed": test.passed,
        "durationMs": test.duration_ms,
        "message": _cut(test.message, MAX_MESSAGE_CHARS),
    }


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
