"""A build compared with another and with its source, as the API answers it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from reflexdb.build.store import DirectoryStore
from reflexdb.control.control import Control
from reflexdb.control.rooms import new_id
from reflexdb.model.lifecycle import Status
from reflexdb.records import builds
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
        }
    ]
    assert (found["breaking"], found["identical"]) == (True, False)
    assert (found["against"]["number"], found["build"]["number"]) == (1, 2)
    assert [(each["before"], each["after"]) for each in back["changes"]] == [("people", "users")]
    assert (same["identical"], same["breaking"], same["changes"]) == (True, False, [])


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
