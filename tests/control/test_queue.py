"""When a build that waits is likely to be begun."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reflexdb.control.queue import expected_start

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("position", "running", "slots", "minutes"),
    [
        (1, [], 1, 0),
        (2, [], 1, 1),
        (1, [0.25], 1, 0.75),
        (3, [0.25], 1, 2.75),
        (1, [5], 1, 0),  # it takes longer than usual: it may end now
        (1, [0.25], 2, 0),
        (2, [0.25], 2, 0.75),
        (3, [0.25, 0.5], 2, 1.5),
        (5, [], 4, 1),
    ],
)
def test_a_build_waits_for_those_before_it_and_under_way(
    position: int, running: list[float], slots: int, minutes: float
) -> None:
    since = [NOW - each * MINUTE for each in running]

    assert expected_start(position, since, slots, MINUTE, NOW) == NOW + minutes * MINUTE
