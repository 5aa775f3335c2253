"""Exceptions that nobody expects: told, waited out, and never the end of following."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reflexdb.model.errors import ReflexError, SourceData
from reflexdb.model.storage import Storage
from reflexdb.sources.changes import Stale
from reflexdb.sync import definitions, views
from reflexdb.sync.definitions import Definitions
from reflexdb.sync.failures import Failures
from reflexdb.sync.guard import Guard
from reflexdb.sync.views import Views
from tests.engine.plans import POSTS, USERS
from tests.sync.logged import LogFollower, LoggedSource
from tests.sync.plans import column, plan, table
from tests.sync.test_stream import Place, caught_up, delete, insert, place, post, program, user
from tests.sync.waiting import until

__all__ = ["place", "program"]


def told(place: Place) -> dict[str, Any]:
    return place.status()["sync"] or {}


def stale(place: Place) -> list[str]:
    return [each["table"] for each in told(place).get("tables") or []]


@pytest.mark.parametrize("age", [10**9, "old", object()], ids=["too large", "a text", "an object"])
def test_changes_that_cannot_be_sent_leave_their_table_alone(place: Place, age: Any) -> None:
    place.sync()
    caught_up(place)
    place.source.commit(insert(USERS, user(40, age=age)), insert(POSTS, post(1, 1)))
    until(lambda: place.ask("posts { id }") == [{"id": 1}], "the other table")
    until(lambda: stale(place) == ["users"], "the table to be named")
    assert place.status()["status"] == "degraded"
    assert len(place.ask("users { id }")) == 20

    place.source.commit(delete(USERS, 40))
    until(lambda: not stale(place), "the table to come back")
    caught_up(place)


def test_an_unknown_exception_is_told_and_waited_out(place: Place) -> None:
    sync = place.sync()
    caught_up(place)
    place.source.failure = KeyError("secret")
    until(lambda: "internal_error: sync met KeyError" in (told(place).get("lastError") or ""), "it is told")
    assert place.status()["status"] == "degraded"
    assert "secret" not in str(told(place))
    assert sync.thread.is_alive()
    place.source.commit(insert(USERS, user(41)))
    place.source.failure = None
    caught_up(place)
    until(lambda: place.status()["status"] == "ok", "all is well")


@pytest.mark.parametrize("failure", [SourceData("an event is not known"), KeyError("a bug")], ids=["data", "bug"])
def test_what_cannot_be_decoded_is_passed_by_reading(place: Place, failure: Exception) -> None:
    """It stands in the stream for ever."""
    place.sync()
    caught_up(place)
    place.source.commit(failure)
    place.source.commit(insert(USERS, user(42)))
    caught_up(place)
    until(lambda: place.status()["status"] == "ok", "all is well")
    place.source.commit(insert(USERS, user(43)))
    caught_up(place)


def failing_first(times: int, make: Callable[[], Any]) -> Callable[[], Any]:
    left = [times]

    def give() -> Any:
        if left[0] > 0:
            left[0] -= 1
            raise KeyError("a bug")
        return make()

    return give


def test_views_that_meet_an_unknown_exception_are_read_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "RETRY_S", (0.05, 0.1))
    one = plan(replace(table("sums", column("id", Storage.I32)), is_view=True))
    source, failures = LoggedSource(one), Failures()
    beside = Views(one, lambda: one, failing_first(3, lambda: LogFollower(source)), tmp_path, failures)
    beside.want([0], ())
    until(lambda: failures.problem() is not None, "it is told")
    assert failures.told()[0]["reason"].startswith("internal_error: views met KeyError")
    (outcome,) = until(lambda: beside.take(lambda _: True), "the view to be read")
    assert outcome.error is None
    assert failures.told() == []


def test_a_look_that_meets_an_unknown_exception_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "RETRY_S", (0.05, 0.1))

    class Described:
        def definitions(self, _schema: str) -> str:
            return "digest"

    failures = Failures()
    look = Definitions(failing_first(3, Described), "main", lambda: True, failures=failures)
    look.start()
    until(lambda: failures.problem() is not None, "it is told")
    until(lambda: look.digest == "digest" and not failures.told(), "it goes on")


def test_a_guard_that_meets_an_unknown_exception_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reflexdb.sync.guard.LOOK_EVERY_S", 0.05)
    failures = Failures()
    source = LoggedSource(plan(table("a", column("id", Storage.I32))))
    Guard(failing_first(3, lambda: LogFollower(source)), failures).start()
    until(lambda: failures.problem() is not None, "it is told")
    until(lambda: not failures.told(), "it goes on")


def test_a_failure_is_a_problem_once_it_lasts() -> None:
    failures = Failures()
    for times in range(3):
        assert (failures.problem() is not None) == (times >= 2)
        with pytest.raises(ReflexError), failures.of("views"):
            raise OSError("no secrets")
    assert "no secrets" not in str(failures.told())
    with failures.of("views"):
        pass
    assert (failures.problem(), failures.told()) == (None, [])


def test_a_stale_table_that_cannot_be_read_is_told_once(place: Place) -> None:
    place.sync()
    caught_up(place)
    with place.source.changed:
        place.source.rows[USERS][40,] = user(40, age="old")  # type: ignore[arg-type]
        place.source.commit(Stale(USERS, "a cascade"))
    until(lambda: stale(place) == ["users"], "the table to be named")
    since = told(place)["tables"][0]["since"]
    time.sleep(2.5)
    assert told(place)["tables"][0]["since"] == since
    with place.source.changed:
        del place.source.rows[USERS][40,]
    until(lambda: not stale(place), "the table to come back")
    caught_up(place)
