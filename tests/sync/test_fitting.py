"""Which tables fit, which are left as they are, and that nothing a table missed is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reflexdb.model.errors import InvalidRequest
from reflexdb.sources.changes import Redefined
from reflexdb.sync.fitting import Fitting, Present
from reflexdb.sync.left import LEFT_NAME
from tests.engine.plans import PLAN, POSTS, USERS


def reached_to(place: int) -> Callable[[str], bool]:
    return lambda wanted: int(wanted) <= place


def incomparable(wanted: str) -> bool:
    raise InvalidRequest(f"{wanted} is of another form")


class Place:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.changed: dict[int, str] = {}

    def fitting(self) -> Fitting:
        return Fitting(PLAN, lambda: Present(PLAN, dict(self.changed)), self.directory)

    def left(self) -> Fitting:
        """A table no longer fits."""
        fitting = self.fitting()
        self.changed = {USERS: "a column is gone"}
        assert fitting.redefined(Redefined(USERS, "ALTER TABLE users")) is None
        return fitting


def test_a_table_that_still_fits_is_read_again_and_the_stream_opened_anew(tmp_path: Path) -> None:
    fitting = Place(tmp_path).fitting()

    assert fitting.redefined(Redefined(POSTS, "ALTER TABLE posts")) == "ALTER TABLE posts"
    assert fitting.is_reopening
    assert fitting.problem() is None


def test_what_a_table_missed_is_owed_however_it_is_found_to_fit_again(tmp_path: Path) -> None:
    place = Place(tmp_path)
    fitting = place.left()
    place.changed = {}
    fitting.check()

    assert list(fitting.returned()) == [USERS]
    assert fitting.is_reopening
    assert fitting.problem() is None


def test_the_next_process_knows_what_was_left_until_it_was_read_again(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.left()
    following = place.fitting()
    following.recall(reached_to(10))
    place.changed = {}
    following.check()

    assert list(following.returned()) == [USERS]
    following.settle("20")
    last = place.fitting()
    last.recall(reached_to(20))
    assert last.returned() == {}


def test_what_was_read_again_is_owed_to_a_server_that_began_with_rows_from_before(tmp_path: Path) -> None:
    place = Place(tmp_path)
    fitting = place.left()
    place.changed = {}
    fitting.check()
    fitting.settle("20")

    for position, owed in ((20, []), (15, [USERS]), (20, [])):
        later = place.fitting()
        later.recall(reached_to(position))
        assert list(later.returned()) == owed


def test_after_all_was_read_a_server_with_rows_from_before_is_owed_what_was_left(tmp_path: Path) -> None:
    place = Place(tmp_path)
    fitting = place.left()
    fitting.forget("20")

    later = place.fitting()
    later.recall(reached_to(15))
    assert list(later.returned()) == [USERS]


def test_a_position_that_can_t_be_compared_is_not_reached(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.left().forget("20")
    later = place.fitting()
    later.recall(incomparable)

    assert list(later.returned()) == [USERS]


def test_a_list_that_can_t_be_read_owes_every_table(tmp_path: Path) -> None:
    (tmp_path / LEFT_NAME).write_bytes(b"\xff{")
    fitting = Place(tmp_path).fitting()
    fitting.recall(reached_to(10))

    assert len(fitting.returned()) == len(PLAN.tables)
