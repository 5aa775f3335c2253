"""Ages do not depend on how the source's clock, or ours, is set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reflexdb.sync.clock import SourceClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Monotonic:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("off", [timedelta(0), timedelta(hours=5), timedelta(days=-400)])
def test_a_commit_is_as_old_as_it_is_however_the_sources_clock_is_set(off: timedelta) -> None:
    ours = Monotonic()
    clock = SourceClock(ours)

    def shown() -> datetime:
        ours.now += 0.25
        moment = NOON + off
        ours.now += 0.25
        return moment

    clock.ask(shown)
    ours.now += 10

    assert clock.at(NOON + off + timedelta(seconds=7)) == pytest.approx(1007.25)


def test_nothing_is_heard_of_before_it_happened() -> None:
    ours = Monotonic()
    clock = SourceClock(ours)

    assert clock.at(NOON) == 1000.0  # as long as nothing is known of the source's clock
    clock.ask(lambda: NOON)
    assert clock.at(NOON + timedelta(hours=1)) == 1000.0
