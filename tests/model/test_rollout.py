"""Steps as they are written, and when a new instance is worse than the one before."""

from __future__ import annotations

import pytest

from reflexdb.deploy.requests import Requests
from reflexdb.model.errors import InvalidRequest
from reflexdb.model.rollout import MAX_STEPS, parse_steps, verdict


def test_steps_are_percent_and_seconds() -> None:
    assert parse_steps("5:60, 25.5:0.5,50:86400") == ((50, 60.0), (255, 0.5), (500, 86400.0))


@pytest.mark.parametrize(
    "text",
    ["", "5", "5:", ":5", "5:0", "0:5", "100:5", "-5:1", "5:1,5:1", "50:1,5:1", "5:1e9", "a:b", "5:86401", "٥:5",
     "5.:1", ",".join(f"{each}:1" for each in range(1, MAX_STEPS + 2))],
)  # fmt: skip
def test_what_is_no_list_of_rising_steps_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="percent:seconds"):
        parse_steps(text)


@pytest.mark.parametrize(
    ("new", "old", "worse"),
    [
        (Requests(100, 10), Requests(100, 0), True),
        (Requests(100, 0, 10), Requests(100, 0), True),
        (Requests(100, 10), None, True),
        (Requests(100, 10), Requests(100, 0, 6), False),
        (Requests(100, 5), Requests(100, 0), False),
        (Requests(19, 19), Requests(100, 0), False),
        (Requests(20, 4), Requests(100, 0), False),
        (Requests(), Requests(100, 0), False),
    ],
)
def test_a_new_instance_is_worse_by_its_rate_beyond_the_limit(new: Requests, old: Requests | None, worse: bool) -> None:
    assert (verdict(new, old, 0.05) is not None) == worse


def test_requests_since_an_earlier_look_leave_out_what_was_before() -> None:
    earlier = Requests(10, 1, 2, 500, ((1000, 4), (None, 6)))
    later = Requests(30, 2, 2, 900, ((1000, 24), (None, 6)))
    since = later.since(earlier)

    assert since == Requests(20, 1, 0, 400, ((1000, 20), (None, 0)))
    assert earlier.since(later) == earlier  # the server was started again
    assert (since.error_rate, since.within_ms(0.99), earlier.within_ms(0.99)) == (0.05, 0.001, None)
    assert Requests.read({**later.to_json(), "cut": 3}) == Requests(30, 5, 2, 900, later.times)
