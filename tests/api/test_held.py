"""What is answered from memory is what the records say now, whoever wrote it: here, another control plane."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import URL

from reflexdb.api import serve
from reflexdb.build.store import DirectoryStore
from reflexdb.control.control import Control
from reflexdb.control.held import Held
from reflexdb.control.local import open_control
from reflexdb.control.rooms import new_id
from reflexdb.records import builds, connections, databases, deployments
from tests.api.api import Api
from tests.build.images import image

pytestmark = pytest.mark.both_records
MANY = 250
AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def other(control: Control, records: URL | None) -> Iterator[Control]:
    """Another control plane on the same records."""
    other = open_control(control.rooms.data_dir, control.rooms.settings, "127.0.0.1", records)
    yield other
    other.rooms.store.close()


def build(**changes: Any) -> dict[str, Any]:
    return {"id": new_id(), "status": "succeeded", "image_digest": None, "created_at": AT, "finished_at": AT, **changes}


def add(control: Control, database: str, many: list[dict[str, Any]]) -> None:
    with control.rooms.store.write() as tx:
        builds.add_many(tx, database, many)


def test_a_list_shows_what_another_plane_changed_of_a_database(api: Api, other: Control, database: str) -> None:
    [before] = api.get("/databases")
    with other.rooms.store.write() as tx:
        databases.change(tx, database, datetime.now(UTC), name="renamed")

    assert api.get("/databases") == [{**before, "name": "renamed", "updatedAt": api.get("/databases")[0]["updatedAt"]}]


def test_a_list_shows_what_another_plane_changed_of_a_connection(api: Api, other: Control, database: str) -> None:
    [before] = api.get("/databases")
    with other.rooms.store.write() as tx:
        connections.change(tx, before["connectionId"], datetime.now(UTC), sync_interval_s=77)

    assert (api.get("/databases")[0]["id"], api.get("/databases")[0]["syncInterval"]) == (database, 77)


def test_a_list_shows_the_health_that_another_plane_wrote(api: Api, other: Control, database: str) -> None:
    mine, now = build(), datetime.now(UTC)
    add(other, database, [mine])
    with other.rooms.store.write() as tx:
        deployment = new_id()
        settings = {"syncMode": "poll"}
        deployments.add(tx, id=deployment, database_id=database, build_id=mine["id"], settings=settings,
                        created_at=now, updated_at=now, serving_at=now, health_status="ok")  # fmt: skip
    assert [each["healthStatus"] for each in api.get("/databases")] == ["ok"]
    with other.rooms.store.write() as tx:
        deployments.change(tx, deployment, now, health_status="degraded")

    assert [each["healthStatus"] for each in api.get("/databases")] == ["degraded"]


def test_a_list_without_a_deleted_database_is_the_next_answer(api: Api, other: Control, database: str) -> None:
    assert [each["id"] for each in api.get("/databases")] == [database]
    with other.rooms.store.write() as tx:
        databases.change(tx, database, AT, deleted_at=AT)

    assert api.get("/databases") == []


def test_a_page_and_the_whole_list_show_the_same(api: Api, database: str) -> None:
    assert api.get("/databases?limit=1") == api.get("/databases") == [api.get(f"/databases/{database}")]


def test_a_long_history_shows_what_another_plane_added_and_finished(api: Api, other: Control, database: str) -> None:
    add(other, database, [build() for _ in range(MANY)])
    api.get(f"/databases/{database}/builds")
    waiting = build(status="queued", finished_at=None)
    add(other, database, [waiting, build()])
    first = api.get(f"/databases/{database}/builds")["builds"]
    with other.rooms.store.write() as tx:
        builds.change(tx, waiting["id"], status="failed", finished_at=AT)
    second = api.get(f"/databases/{database}/builds")["builds"]

    assert [len(first), first[1]["status"], second[1]["status"]] == [MANY + 2, "queued", "failed"]
    assert second == api.get(f"/databases/{database}/builds?limit=1000")["builds"]


def test_a_long_history_shows_that_an_image_vanished(api: Api, control: Control, database: str) -> None:
    digest = stored_image(control)
    add(control, database, [build(image_digest=digest) for _ in range(MANY)])
    assert all(each["deployable"] for each in api.get(f"/databases/{database}/builds")["builds"])
    control.rooms.images.remove(digest)

    assert not any(each["deployable"] for each in api.get(f"/databases/{database}/builds")["builds"])


def stored_image(control: Control) -> str:
    store = control.rooms.images
    assert isinstance(store, DirectoryStore)
    return store.put(image())


def test_what_is_finished_of_a_build_is_never_changed(control: Control, api: Api, database: str) -> None:
    finished = build()
    add(control, database, [finished])

    with pytest.raises(AssertionError, match="is finished"), control.rooms.store.write() as tx:
        builds.change(tx, finished["id"], status="failed")
    assert api.get(f"/databases/{database}/builds")["builds"][0]["status"] == "succeeded"


def test_a_key_that_another_plane_revoked_is_refused_at_once(api: Api, other: Control) -> None:
    for _ in range(3):
        api("GET", "/databases", expect=200)
    account = other.accounts.speaker(api.key).customer_id
    [key] = other.accounts.keys(account)
    other.accounts.revoke_key(account, key.id)

    api("GET", "/databases", expect=401)


def test_a_key_is_not_remembered_beyond_its_expiry(control: Control, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    key = control.accounts.create_key(control.accounts.authenticate(api.key), "short", soon).key
    control.accounts.speaker(key)  # notes its use
    known = control.accounts.speaker(key)
    assert control.accounts.remembered(key) == (None if control.rooms.store.is_shared else known)
    monkeypatch.setattr(control.accounts, "_rooms", replace(control.rooms, now=lambda: soon))

    assert control.accounts.remembered(key) is None


def test_what_is_held_is_bounded_and_the_longest_unasked_goes_first() -> None:
    held: Held[bytes] = Held(10, len)
    for name in "abc":
        held.put(name, b"1234")
        held.get("a")

    assert [held.get(name) for name in "abc"] == [b"1234", None, b"1234"]


def test_a_short_answer_does_not_wait_for_an_acknowledgement() -> None:
    """A body that is held back until its headers are acknowledged comes some 40 ms later."""

    async def accepted(listener: socket.socket) -> int:
        taken: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def look(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            taken.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(look, sock=listener.dup()):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            writer.close()
            return await asyncio.wait_for(taken, 60)

    with serve._listening("127.0.0.1", 0) as listener:
        assert asyncio.run(accepted(listener)) == 1


def test_the_records_tell_of_every_commit_and_of_nothing_else(control: Control) -> None:
    store = control.rooms.store
    if store.is_shared:
        assert store.state() is None
        return
    before = store.state()
    with store.read():
        pass
    assert store.state() == before is not None
    control.accounts.ensure_first()

    assert store.state() != before
