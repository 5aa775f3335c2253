"""A stream tells every change of meaning: beside the changes of rows, and at once where it is opened later."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest

from reflexdb.build.plan import make_plan
from reflexdb.model.plan import Plan
from reflexdb.model.schema import Backend
from reflexdb.sources import follower, open_source
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.changes import ChangeStream, Commit, FollowOptions, Redefined, Rows, Stale
from reflexdb.sources.postgres.look import LOOK_EVERY_S
from tests.following import meanings
from tests.following.reader import reader

pytestmark = pytest.mark.each_postgres
HARMLESS = {"label_added", "domain_constrained"}
LIMIT_S = 60.0


def told(stream: ChangeStream, plan: Plan, wanted: set[str]) -> set[str]:
    """Tables of which the stream says that their rows are not what they were; `wanted` are waited for."""
    found: set[str] = set()
    began = time.monotonic()
    while time.monotonic() < began + LIMIT_S:
        event = stream.next(0.1)
        if isinstance(event, Stale | Redefined):
            assert event.table is not None
            found.add(plan.tables[event.table].name)
        elif isinstance(event, Commit):
            stream.confirm(event.position)
        else:
            assert event is None or isinstance(event, Rows)
        if wanted <= found and time.monotonic() > began + 1.5 * LOOK_EVERY_S:
            break
    return found


@pytest.mark.parametrize("is_open", [True, False], ids=["beside the rows", "opened later"])
def test_the_stream_tells_every_change_of_meaning(postgres_database: Any, tmp_path: Path, is_open: bool) -> None:
    with reader(postgres_database) as database, meanings.group(database):
        for statement in meanings.definitions(database):
            database.execute(statement)
        address = SourceAddress(Backend.POSTGRES, database.host, database.port, database.user, database.password)
        with contextlib.closing(open_source(address)) as source:
            plan = make_plan(source.introspect(database.schema), None).plan
        options = FollowOptions(f"reflexdb_{database.schema}", 1, memory=tmp_path / "memory")
        following = follower(address, database.schema, options)
        assert following is not None
        with following.snapshot(plan) as view:
            for table in plan.tables:
                for _ in view.read(table):
                    pass
            position = view.position
        stream = following.stream(plan, position) if is_open else None
        if stream is not None:
            assert told(stream, plan, set()) == set()
        for statement in meanings.changes(database):
            database.execute(statement)
        stream = stream or following.stream(plan, position)
        wanted = {table.name for table in plan.tables} - HARMLESS
        assert told(stream, plan, wanted) == wanted
        stream.close()
        following.drop()
