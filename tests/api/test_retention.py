"""Which images stay, and what a build says whose image has gone."""

from __future__ import annotations

import errno
import time
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from reflexdb.build.store import DirectoryStore
from reflexdb.control.control import Control
from reflexdb.control.retention import Retention
from reflexdb.control.rooms import new_id
from reflexdb.control.tidying import Tidying
from reflexdb.model.lifecycle import Status
from reflexdb.records import builds, databases, jobs
from tests.api.api import Api
from tests.api.situation import Situation
from tests.build.images import image


class Shelf:
    """A database whose first build serves, and four later ones, each with an image of its own."""

    def __init__(self, control: Control, database: str) -> None:
        self.situation = Situation(control, database)
        self.situation.put(Status.RUNNING)
        self.control, self.database = control, database
        self.ids = [self.situation.build, *(self.add(name) for name in "bcde")]
        self.retention = self.keeping(2)

    def add(self, name: str) -> str:
        rooms, build_id = self.control.rooms, new_id()
        assert isinstance(rooms.images, DirectoryStore)
        digest = rooms.images.put(image(name=name))
        made = {"image_digest": digest, "image_uri": rooms.images.uri(digest)}
        with rooms.store.write() as tx:
            builds.add(tx, id=build_id, database_id=self.database, status="succeeded", created_at=rooms.now(), **made)
        return build_id

    def keeping(self, number: int) -> Retention:
        rooms = self.control.rooms
        settings = replace(rooms.settings, keep_images=number)
        return Retention(replace(rooms, settings=settings), self.control.retention._images)


@pytest.fixture
def shelf(control: Control, database: str) -> Shelf:
    return Shelf(control, database)


def deployable(api: Api, shelf: Shelf) -> list[bool]:
    """Of each build, the oldest first."""
    listed = {each["id"]: each["deployable"] for each in api.get(f"/databases/{shelf.database}/builds")["builds"]}
    return [listed[each] for each in shelf.ids]


def test_the_newest_stay_and_what_serves_and_what_is_pinned(api: Api, shelf: Shelf) -> None:
    path = f"/databases/{shelf.database}/builds"
    pinned = api.post(f"{path}/{shelf.ids[1]}/pin", expect=200)
    assert (pinned["number"], pinned["id"]) == (2, shelf.ids[1])
    assert len(shelf.retention.sweep()) == 1

    assert deployable(api, shelf) == [True, True, False, True, True]
    gone = api.get(f"{path}/{shelf.ids[2]}")
    assert "is not stored any more" in gone["whyNotDeployable"]
    assert api.get(f"{path}/{shelf.ids[1]}")["pinned"]
    assert shelf.retention.sweep() == []


def test_who_wants_to_write_does_not_wait_until_every_image_is_gone(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes its time with every file: the writer comes between two of them, not after the last."""
    monkeypatch.setattr("reflexdb.control.retention.HOLD_S", 0.0)
    removed, wrote_after = list[str](), list[int]()
    images, store = shelf.control.rooms.images, shelf.control.rooms.store
    remove = images.remove

    def write() -> None:
        with store.write() as tx:
            wrote_after.append(len(removed))
            databases.change(tx, shelf.database, shelf.control.rooms.now(), log_level="debug")

    writer = Thread(target=write)

    def slowly(digest: str) -> None:
        if not removed:
            writer.start()
        time.sleep(0.2)
        remove(digest)
        removed.append(digest)

    monkeypatch.setattr(images, "remove", slowly)
    for name in "fghijklm":
        shelf.add(name)
    gone = shelf.retention.sweep()
    writer.join(30)

    assert gone == removed
    assert len(removed) == 10
    assert wrote_after[0] < len(removed)


def test_what_is_unpinned_goes_the_next_time(api: Api, shelf: Shelf) -> None:
    path = f"/databases/{shelf.database}/builds/{shelf.ids[1]}/pin"
    for _ in range(2):
        api.post(path, expect=200)
    for _ in range(2):
        api("DELETE", path, expect=204)
    shelf.retention.sweep()

    assert deployable(api, shelf) == [True, False, False, True, True]
    assert "not stored any more" in api("POST", path, expect=409).json()["message"]
    actions = [each["action"] for each in api.get(f"/audit?target={shelf.ids[1]}")["entries"]]
    assert actions == ["build.unpin", "build.pin"]


def test_nothing_goes_while_a_job_is_under_way_or_where_all_are_kept(api: Api, shelf: Shelf) -> None:
    job, rooms = new_id(), shelf.control.rooms
    with rooms.store.write() as tx:
        jobs.add(tx, id=job, database_id=shelf.database, action="rebuild", created_at=rooms.now())
    assert shelf.retention.sweep() == []
    with rooms.store.write() as tx:
        jobs.finish(tx, job, rooms.now())

    assert shelf.keeping(0).sweep() == []
    assert deployable(api, shelf) == [True] * 5


def test_an_image_that_no_build_came_to_goes_also_where_all_are_kept(api: Api, shelf: Shelf) -> None:
    rooms = shelf.control.rooms
    assert isinstance(rooms.images, DirectoryStore)
    left = rooms.images.put(image(name="left"))

    assert shelf.keeping(0).sweep() == [left]
    assert deployable(api, shelf) == [True] * 5
    assert shelf.keeping(0).sweep() == []


def test_what_the_disk_refuses_does_not_keep_the_sweep_from_the_rest(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = shelf.control.rooms
    assert isinstance(rooms.images, DirectoryStore)
    left = rooms.images.put(image(name="left"))

    def refuse() -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(rooms.images, "tidy", refuse)
    monkeypatch.setattr(rooms.deployer, "tidy", refuse)
    Tidying(rooms, shelf.keeping(0)).sweep()

    assert not rooms.images.verify(left)


def test_an_image_of_others_that_the_records_do_not_know_stays(shelf: Shelf) -> None:
    """They may be the wrong records."""
    images = shelf.control.rooms.images
    assert isinstance(images, DirectoryStore)
    digest = DirectoryStore(Path(images.uri("").removeprefix("oci:").rstrip("@")), images._keys).put(
        image(name="other")
    )

    assert shelf.keeping(0).sweep() == []
    assert images.verify(digest)


def test_of_a_deleted_database_nothing_stays_but_what_runs(api: Api, shelf: Shelf) -> None:
    rooms = shelf.control.rooms
    api.post(f"/databases/{shelf.database}/builds/{shelf.ids[1]}/pin", expect=200)
    with rooms.store.write() as tx:
        databases.change(tx, shelf.database, rooms.now(), deleted_at=rooms.now())

    assert len(shelf.retention.sweep()) == 4
    assert rooms.images.verify(image().manifest.digest)


def test_a_sweep_cut_short_anywhere_leaves_what_must_stay_and_the_next_goes_on(
    api: Api, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, steps = Path.unlink, 0

    class Killed(BaseException):
        pass

    for last in range(100):
        left = last

        def unlink(path: Path, missing_ok: bool = False) -> None:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            real(path, missing_ok)

        monkeypatch.setattr(Path, "unlink", unlink)
        try:
            shelf.retention.sweep()
        except Killed:
            steps += 1
        else:
            break
        finally:
            monkeypatch.setattr(Path, "unlink", real)
        assert deployable(api, shelf)[0::3] == [True, True], "what serves, and one of the newest two"
        assert deployable(api, shelf)[4]

    assert steps > 1
    assert deployable(api, shelf) == [True, False, False, True, True]


def test_too_many_pins_are_refused(api: Api, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reflexdb.control.retention.MAX_PINNED", 1)
    path = f"/databases/{shelf.database}/builds"
    api.post(f"{path}/{shelf.ids[1]}/pin", expect=200)

    assert "unpin one first" in api("POST", f"{path}/{shelf.ids[2]}/pin", expect=409).json()["message"]
    api("POST", f"{path}/{new_id()}/pin", expect=404)
    api("DELETE", f"{path}/{new_id()}/pin", expect=404)
