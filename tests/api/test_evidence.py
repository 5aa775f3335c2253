"""A build compared with another and with its source, as the API answers it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reflexdb.build.store import DirectoryStore
from reflexdb.control.control import Control
from reflexdb.control.rooms import new_id, utc_now
from reflexdb.model.lifecycle import Status
from reflexdb.records import builds, query_shapes
from tests.api.api import Api
from tests.api.situation import Situation
from tests.build.images import image


@pytest.fixture
def situation(control: Control, database: str) -> Situation:
    situation = Situation(control, database)
    situation.put(Status.RUNNING)
    return situation


def another(situation: Situation, name: str | None, status: str = "succeeded") -> str:
    """A newer build, with an image whose one table has this name."""
    rooms, build_id = situation.control.rooms, new_id()
    assert isinstance(rooms.images, DirectoryStore)
    digest = rooms.images.put(image(name=name)) if name else None
    made = {"image_digest": digest, "image_uri": rooms.images.uri(digest)} if digest else {}
    with rooms.store.write() as tx:
        builds.add(tx, id=build_id, database_id=situation.database, status=status, created_at=rooms.now(), **made)
    return build_id


def test_a_build_is_compared_with_the_one_before_it_or_with_any(api: Api, situation: Situation) -> None:
    path, newer = f"/databases/{situation.database}/builds", another(situation, "people")
    found = api.get(f"{path}/{newer}/diff")
    back = api.get(f"{path}/{situation.build}/diff?against={newer}")
    same = api.get(f"{path}/{newer}/diff?against={newer}")

    assert found["changes"] == [
        {
            "kind": "table.renamed",
            "table": "users",
            "name": None,
            "before": "users",
            "after": "people",
            "breaking": True,
            "why": None,
            "judgement": "breaking",
            "breaks": None,
        }
    ]
    assert (found["judgedAgainst"], found["seen"], found["breaksSeenQueries"]) == ("every_query", None, None)
    assert (found["breaking"], found["identical"]) == (True, False)
    assert (found["against"]["number"], found["build"]["number"]) == (1, 2)
    assert [(each["before"], each["after"]) for each in back["changes"]] == [("people", "users")]
    assert (same["identical"], same["breaking"], same["changes"]) == (True, False, [])


def test_what_breaks_is_judged_by_the_queries_that_were_seen(api: Api, situation: Situation) -> None:
    path, rooms = f"/databases/{situation.database}/builds/{another(situation, 'people')}/diff", situation.control.rooms

    def ask(table: str | None, queries: int) -> dict[str, Any]:
        shape = (
            None if table is None else {"tables": [table], "columns": [[table, "id"]], "filters": [], "relations": []}
        )
        with rooms.store.write() as tx:
            query_shapes.add(tx, situation.database, [(shape, queries)], rooms.now())
        found: dict[str, Any] = api.get(path)
        return found

    unused = ask("elsewhere", 5)
    assert (unused["judgedAgainst"], unused["breaksSeenQueries"], unused["breaking"]) == ("seen_queries", False, True)
    assert unused["changes"][0]["judgement"] == "breaking, though no query seen uses it"
    assert unused["changes"][0]["breaks"] == {"shapes": 0, "queries": 0, "examples": []}
    assert ask(None, 2)["changes"][0]["judgement"] == "breaking", "those that were not told apart may use it"
    used = ask("users", 3)
    assert ask("users", 4)["changes"][0] == {
        **used["changes"][0],
        "judgement": "breaking for seen queries",
        "breaks": {"shapes": 1, "queries": 7, "examples": ["users { users.id }"]},
    }
    assert used["breaksSeenQueries"] is True
    seen = used["seen"]
    assert (seen["shapes"], seen["queries"], seen["notToldApart"]) == (2, 10, 2)


def test_shapes_that_were_not_seen_for_long_and_too_many_are_forgotten(control: Control, database: str) -> None:
    now, shapes = utc_now(), [({"tables": [str(number)]}, 1) for number in range(query_shapes.MAX_KEPT + 5)]
    with control.rooms.store.write() as tx:
        query_shapes.add(tx, database, shapes[:3], now - timedelta(days=40))
        query_shapes.add(tx, database, shapes[3:], now)
        query_shapes.add(tx, database, shapes[:1], now)
        query_shapes.forget(tx, database, now - timedelta(days=30))
        kept = query_shapes.of(tx, database)

    assert len(kept) == query_shapes.MAX_KEPT
    assert (kept[0].shape, kept[0].queries) == ({"tables": ["0"]}, 2)
    assert {"tables": ["1"]} not in [each.shape for each in kept]


def test_what_has_no_image_or_nothing_before_it_is_not_compared(api: Api, situation: Situation) -> None:
    path, failed = f"/databases/{situation.database}/builds", another(situation, None, "failed")

    assert "no earlier build" in api("GET", f"{path}/{situation.build}/diff", expect=404).json()["message"]
    assert "has no image to compare" in api("GET", f"{path}/{failed}/diff", expect=409).json()["message"]
    api("GET", f"{path}/{situation.build}/diff?against={new_id()}", expect=404)
    for blob in (situation.control.rooms.data_dir / "images" / "blobs" / "sha256").iterdir():
        blob.unlink()
    reply = api("GET", f"{path}/{situation.build}/diff?against={situation.build}", expect=409)
    assert "can't be compared" in reply.json()["message"]


def test_a_redeploy_that_the_source_can_not_fill_is_refused_with_what_is_missing(
    api: Api, situation: Situation, source: Path
) -> None:
    path = f"/databases/{situation.database}/redeploy"
    with closing(sqlite3.connect(source)) as connection:
        connection.executescript("DROP TABLE posts; DROP TABLE users; CREATE TABLE users (id TEXT PRIMARY KEY)")
    refused = api("POST", path, {"buildId": situation.build}, expect=409).json()["message"]
    assert "column 'id' of table 'users' was INTEGER and is now TEXT" in refused

    source.unlink()
    api("POST", path, {"buildId": situation.build}, expect=202)
