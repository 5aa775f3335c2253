"""A rebuild that would serve less than what serves: refused before anything is compiled, unless it was asked for."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from reflexdb.build.base import BuildRequest
from reflexdb.build.image import assemble
from reflexdb.build.plan import make_plan
from reflexdb.build.store import DirectoryStore
from reflexdb.control.control import Control
from reflexdb.control.journal import Journal
from reflexdb.control.making import Making
from reflexdb.model.errors import BreakingChange
from reflexdb.model.lifecycle import Status
from reflexdb.model.schema import Backend
from reflexdb.records import jobs
from reflexdb.records.rows import JobRow
from reflexdb.records.tables import builds as table
from reflexdb.sources import open_source
from reflexdb.sources.base import SourceAddress
from tests.api.api import Api
from tests.api.situation import Situation


class Reached(Exception):
    """The builder was called."""


class NoBuilder:
    """Where a rebuild that is not refused arrives."""

    def build(self, request: BuildRequest, *_: Any) -> Any:
        raise Reached(request.schema.name)


class Serving:
    """A running database whose image is that of its source as it was."""

    def __init__(self, api: Api, control: Control, database: str, source: Path) -> None:
        self.api, self.control, self.database, self.source = api, control, database, source
        situation = Situation(control, database)
        situation.put(Status.RUNNING)
        with closing(open_source(SourceAddress(Backend.SQLITE, str(source)))) as opened:
            plan = make_plan(opened.introspect("main"), None).plan
        images = control.rooms.images
        assert isinstance(images, DirectoryStore)
        binary = {"binary": {"sha256": hashlib.sha256(b"\x7fELF").hexdigest()}}
        document = {"plan": plan.to_json(), "plan_fingerprint": plan.fingerprint().hex(), **binary}
        digest = images.put(assemble(b"\x7fELF", document, "amd64", "0.1.0"))
        with control.rooms.store.write() as tx:
            tx.execute(update(table).where(table.c.id == situation.build).values(image_digest=digest))

    def alter(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.source)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def rebuild(self, query: str = "") -> JobRow:
        self.api.post(f"/databases/{self.database}/rebuild{query}")
        with self.control.rooms.store.read() as tx:
            job = jobs.of_database(tx, self.database)
        assert job is not None
        return job

    def make(self, job: JobRow) -> list[str]:
        """What the build's log says; raises what ends the build."""
        lines: list[str] = []
        rooms = replace(self.control.rooms, builder=NoBuilder())
        Making(rooms, Journal(rooms)).image(job, lines.append)
        return lines

    def build(self, job: JobRow) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/databases/{self.database}/builds/{job.build_id}")
        return found


@pytest.fixture
def serving(api: Api, control: Control, database: str, source: Path) -> Serving:
    return Serving(api, control, database, source)


def test_serving_less_is_refused_with_what_and_why(serving: Serving) -> None:
    serving.alter("DROP TABLE posts", "ALTER TABLE users RENAME COLUMN name TO label")
    job = serving.rebuild()
    with pytest.raises(BreakingChange) as caught:
        serving.make(job)

    assert 'table "posts": The source does not show it any more' in str(caught.value)
    assert 'column "name" of table "users"' in str(caught.value)
    assert "--allow-breaking" in str(caught.value)
    build = serving.build(job)
    assert [(each["table"], each["column"], each["cause"]) for each in build["notServed"]] == [
        ("posts", None, "not_visible"),
        ("users", "name", "not_visible"),
    ]
    assert build["notServedTotal"] == 2


def test_serving_less_goes_on_where_it_is_asked_for(serving: Serving) -> None:
    serving.alter("DROP TABLE posts")
    job = serving.rebuild("?allowBreaking=true")
    with pytest.raises(Reached):
        serving.make(job)
    assert serving.build(job)["notServedTotal"] == 1


def test_what_the_file_leaves_out_is_not_refused(serving: Serving) -> None:
    config = b"version: 1\ntables: [{name: users}]\n"
    header = {"Content-Type": "application/yaml"}
    serving.api("PUT", f"/databases/{serving.database}/config", content=config, headers=header, expect=204)
    with pytest.raises(Reached):
        serving.make(serving.rebuild())


def test_a_view_that_fails_is_listed_and_serves_nothing(serving: Serving) -> None:
    serving.alter("CREATE VIEW broken AS SELECT absent FROM users")
    job = serving.rebuild()
    with pytest.raises(Reached):
        serving.make(job)

    [entry] = serving.build(job)["notServed"]
    assert (entry["table"], entry["cause"]) == ("broken", "unreadable")
    assert "no such column" in entry["reason"]
