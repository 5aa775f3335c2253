"""Rebuilding by itself: when a changed definition starts a build and when not, on a clock that the test sets."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from reflexdb.build.image import assemble
from reflexdb.build.plan import make_plan
from reflexdb.build.store import DirectoryStore
from reflexdb.control.actions import Actions
from reflexdb.control.auto_rebuild import CALM, FIRST_WAIT, AutoRebuild
from reflexdb.control.control import Control
from reflexdb.control.images import Images
from reflexdb.control.leases import Leases
from reflexdb.control.rooms import new_id
from reflexdb.control.site import site_of
from reflexdb.deploy.base import Deployed, Observation
from reflexdb.model.lifecycle import Status
from reflexdb.model.schema import Backend
from reflexdb.records import auto_rebuilds, builds, databases, deployments, jobs
from reflexdb.records.rows import AutoRebuildRow, BuildRow
from reflexdb.records.tables import builds as table
from reflexdb.sources import open_source
from reflexdb.sources.base import SourceAddress
from tests.api.api import Api
from tests.api.situation import Situation


class Watched:
    """A running database that rebuilds by itself; its instance says what the test wants it to."""

    def __init__(self, control: Control, database: str, source: Path) -> None:
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)
        self.source, self.database, self._control = source, database, control
        rooms = replace(control.rooms, now=lambda: self.now)
        actions = Actions(rooms, Images(rooms), lambda: None)
        leases = Leases(rooms)
        leases.join(site_of(rooms.data_dir))
        leases.claim({database})
        self.auto = AutoRebuild(rooms, actions, leases)
        self.situation = Situation(control, database)
        self.situation.put(Status.RUNNING)
        self.serve(self.situation.build)
        self.auto.enable(self.situation.row().customer_id, database, enabled=True)

    def serve(self, build: str) -> None:
        """The build's image is the source's as it is now."""
        source = open_source(SourceAddress(Backend.SQLITE, str(self.source)))
        plan = make_plan(source.introspect("main"), None).plan
        source.close()
        images = self._control.rooms.images
        assert isinstance(images, DirectoryStore)
        binary = {"binary": {"sha256": hashlib.sha256(b"\x7fELF").hexdigest()}}
        document = {"plan": plan.to_json(), "plan_fingerprint": plan.fingerprint().hex(), **binary}
        digest = images.put(assemble(b"\x7fELF", document, "amd64", "0.1.0"))
        with self._control.rooms.store.write() as tx:
            tx.execute(update(table).where(table.c.id == build).values(image_digest=digest))

    def alter(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.source)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def look(self, definitions: str, later: timedelta = timedelta()) -> BuildRow | None:
        """The instance says so; after a while it is looked at. The build that is under way then."""
        with self._control.rooms.store.read() as tx:
            serving = deployments.serving(tx, self.database)
        assert serving is not None
        deployed = Deployed(self.database, serving.id, serving.build_id, 1, "http://127.0.0.1:1")
        self.auto.seen(self.database, Observation(deployed, "ok", None, sync={"definitions": definitions}))
        self.now += later
        self.auto.look()
        with self._control.rooms.store.read() as tx:
            job = jobs.of_database(tx, self.database)
            return builds.by_id(tx, job.build_id) if job and job.build_id else None

    def end(self, status: Status) -> None:
        """What is under way has ended so."""
        with self._control.rooms.store.write() as tx:
            job = jobs.of_database(tx, self.database)
            if job is not None:
                jobs.finish(tx, job.id, self.now, error="no" if status is Status.FAILED else None)
            databases.change(tx, self.database, self.now, status=status.value)

    def thought(self) -> AutoRebuildRow:
        with self._control.rooms.store.read() as tx:
            row = auto_rebuilds.get(tx, self.database)
        assert row is not None
        return row


@pytest.fixture
def watched(control: Control, database: str, source: Path) -> Watched:
    return Watched(control, database, source)


def test_a_new_column_starts_a_rebuild_that_names_it(watched: Watched) -> None:
    watched.alter("ALTER TABLE users ADD COLUMN age INT")
    build = watched.look("two", CALM)

    assert build is not None
    assert (build.trigger, build.key_id) == ("schema_change", None)
    assert build.reason == "the source's definitions changed: column 'age' of table 'users' is new"


def test_definitions_that_still_change_are_waited_for(watched: Watched) -> None:
    watched.alter("ALTER TABLE users ADD COLUMN age INT")
    first = watched.look("two", CALM / 2)
    watched.alter("ALTER TABLE users ADD COLUMN city TEXT")
    second = watched.look("three", CALM - timedelta(seconds=1))
    third = watched.look("three", timedelta(seconds=1))

    assert (first, second) == (None, None)
    assert third is not None
    assert "'age'" in str(third.reason)
    assert "'city'" in str(third.reason)


def test_definitions_that_give_the_same_image_start_nothing(watched: Watched) -> None:
    watched.alter("CREATE INDEX names ON users (name)")

    assert watched.look("two", CALM) is None
    assert (watched.thought().definitions, watched.thought().said) == ("two", None)


def test_serving_less_is_held_until_the_definitions_change(watched: Watched) -> None:
    watched.alter("ALTER TABLE users ADD COLUMN age INT", "DROP TABLE posts")

    assert watched.look("two", CALM) is None
    said = watched.thought().said
    assert said is not None
    assert 'table "posts": The source does not show it any more' in said
    assert "--allow-breaking" in said
    assert watched.look("two", timedelta(hours=7)) is None

    watched.alter("CREATE TABLE posts (id INTEGER PRIMARY KEY, author_id INT, title TEXT, body TEXT)")
    assert watched.look("three", CALM) is not None


def test_nothing_happens_where_it_is_off(watched: Watched) -> None:
    watched.auto.enable(watched.situation.row().customer_id, watched.database, enabled=False)
    watched.alter("ALTER TABLE users ADD COLUMN age INT")

    assert watched.look("two", CALM) is None


def test_a_rebuild_that_fails_is_tried_again_ever_more_seldom(watched: Watched) -> None:
    watched.alter("ALTER TABLE users ADD COLUMN age INT")
    waits = []
    for _ in range(3):
        waited = timedelta()
        while watched.look("two", timedelta(seconds=10)) is None:
            waited += timedelta(seconds=10)
        waits.append(waited)
        watched.end(Status.FAILED)

    assert waits[1] >= FIRST_WAIT - timedelta(seconds=10)
    assert waits[2] >= 2 * FIRST_WAIT - timedelta(seconds=10)
    assert watched.thought().tries == 3
    assert "number 3" in str(watched.thought().said)


def test_a_rebuild_that_succeeds_ends_it(watched: Watched) -> None:
    watched.alter("ALTER TABLE users ADD COLUMN age INT")
    build = watched.look("two", CALM)
    assert build is not None
    watched.end(Status.RUNNING)
    watched.serve(watched.situation.build)

    assert watched.look("two", FIRST_WAIT) is None
    assert watched.look("two", 100 * FIRST_WAIT) is None
    assert watched.thought().tries == 0


def test_a_build_that_was_chosen_by_hand_stays(watched: Watched, control: Control) -> None:
    watched.alter("ALTER TABLE users ADD COLUMN age INT")
    with control.rooms.store.write() as tx:
        newer, job, at = new_id(), new_id(), watched.now
        mine = {"database_id": watched.database, "created_at": at + timedelta(seconds=1)}
        builds.add(tx, id=newer, status="succeeded", image_digest="sha256:1", image_uri="oci:x", **mine)
        jobs.add(tx, id=job, action="redeploy", kind="redeploy", build_id=watched.situation.build, **mine)
        jobs.finish(tx, job, at)

    assert watched.look("two", CALM) is None
    assert "deployed again by hand" in str(watched.thought().said)


def test_what_cannot_be_built_is_said_and_not_tried_at_every_look(watched: Watched) -> None:
    watched.alter("DROP TABLE posts", "DROP TABLE users")

    assert watched.look("two", CALM) is None
    assert "can't be built" in str(watched.thought().said)
    tried = watched.thought().tried_at
    assert watched.look("two", FIRST_WAIT / 2) is None
    assert watched.thought().tried_at == tried


def test_it_is_off_until_somebody_turns_it_on(api: Api, database: str) -> None:
    path = f"/databases/{database}/freshness"
    before = api.get(path)
    told: Any = api("PATCH", path, {"autoRebuild": True}, expect=200).json()
    entries = api.get("/audit")["entries"]

    assert {name for name, value in before.items() if value is not None} == {
        "autoRebuild",
        "schemaChanged",
        "staleTables",
    }
    assert before["autoRebuild"] is False
    assert told == {**before, "autoRebuild": True}
    assert (entries[0]["action"], entries[0]["after"]) == ("database.auto_rebuild", {"auto_rebuild": True})


def test_what_is_asked_wrongly_is_named(api: Api, database: str) -> None:
    nobody = "00000000-0000-4000-8000-000000000000"
    refused = api("PATCH", f"/databases/{database}/freshness", {"autoRebuild": "yes"}, expect=400).json()

    assert "autoRebuild" in refused["message"]
    api("GET", f"/databases/{nobody}/freshness", expect=404)
    api("PATCH", f"/databases/{nobody}/freshness", {"autoRebuild": True}, expect=404)
