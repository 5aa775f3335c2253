"""The checker itself notices what it is there for."""

from __future__ import annotations

import pytest

from tests.consistency.history import History, Inconsistent, Transaction


def history() -> History:
    made = History(1)
    for number in (1, 2, 3):
        made.begin(Transaction(number, number * 10, {1: 11} if number == 3 else {}))
        made.acknowledge(f"p{number}")
    return made


def both(rows: dict[int, int]) -> dict[str, dict[int, int]]:
    return {"lefts": rows, "rights": dict(rows)}


def test_every_state_since_the_promise_is_right() -> None:
    found = [history().judge(2, both(rows)) for rows in ({1: 10, 2: 20}, {1: 11, 2: 20, 3: 30})]

    assert found == [2, 3]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({1: 10}, "were promised"),
        ({2: 20}, "missing"),
        ({1: 11, 2: 20}, "should not be there"),
        ({1: 11, 2: 20, 3: 30, 4: 40}, "were made"),
    ],
)
def test_a_lost_or_invented_row_is_noticed(rows: dict[int, int], words: str) -> None:
    with pytest.raises(Inconsistent, match=words):
        history().judge(2, both(rows))


def test_half_a_transaction_is_noticed() -> None:
    with pytest.raises(Inconsistent, match="half"):
        history().judge(0, {"lefts": {1: 10}, "rights": {}})


def test_what_was_undone_may_not_be_shown() -> None:
    made = history()
    made.begin(Transaction(4, 40))
    made.undo()

    with pytest.raises(Inconsistent, match="were made"):
        made.judge(3, both({1: 11, 2: 20, 3: 30, 4: 40}))
