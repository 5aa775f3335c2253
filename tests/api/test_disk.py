"""What images take of the disk, of one database and of all."""

from __future__ import annotations

import pytest

from reflexdb.api.metrics import Metrics
from reflexdb.build.store import DirectoryStore
from reflexdb.control.control import Control
from reflexdb.control.rooms import new_id
from reflexdb.records import builds
from tests.api.api import Api
from tests.api.operator import let_operate
from tests.build.images import image


def made(control: Control, database: str, name: str, **more: object) -> str:
    """The digest of a new build's image, whose one table has this name."""
    rooms, parts = control.rooms, image(name=name)
    assert isinstance(rooms.images, DirectoryStore)
    digest = rooms.images.put(parts)
    known = {"image_digest": digest, "image_uri": rooms.images.uri(digest), "image_bytes": parts.size_bytes}
    with rooms.store.write() as tx:
        status, now = "succeeded", rooms.now()
        builds.add(tx, id=new_id(), database_id=database, status=status, created_at=now, **known, **more)
    return digest


def test_a_database_takes_what_its_stored_images_take_each_once(api: Api, control: Control, database: str) -> None:
    path = f"/databases/{database}/disk-use"
    assert api.get(path) == {"databaseId": database, "bytes": 0, "images": []}
    first = made(control, database, "users", pinned_at=control.rooms.now())
    made(control, database, "users")
    second = made(control, database, "people")
    gone = made(control, database, "gone")
    control.rooms.images.remove(gone)
    shown = api.get(path)

    assert [(each["digest"], each["builds"], each["pinned"]) for each in shown["images"]] == [
        (second, [3], False), (first, [2, 1], True),
    ]  # fmt: skip
    assert shown["bytes"] == sum(each["bytes"] for each in shown["images"])
    assert shown["images"][1]["bytes"] == image(name="users").size_bytes
    assert api("GET", f"/databases/{new_id()}/disk-use", expect=404).json()["error"] == "not_found"


def test_the_operator_sees_the_whole_and_nobody_else(
    api: Api, control: Control, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(control, database, "users")
    api("GET", "/admin/disk-use", expect=403)
    let_operate(control, api.key, monkeypatch)
    shown = api.get("/admin/disk-use")
    root = control.rooms.data_dir / "images"

    assert shown["images"] == 1
    assert shown["bytes"] == sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    assert shown["freeBytes"] > 0
    assert shown["databases"] == [{"databaseId": database, "images": 1, "bytes": image(name="users").size_bytes}]


def test_metrics_tell_of_the_store_also_before_there_is_one(control: Control, database: str) -> None:
    metrics = Metrics()
    metrics.watch(control)
    assert "reflexdb_image_store_bytes 0.0" in metrics.text().decode()
    made(control, database, "users")
    text = metrics.text().decode()

    assert "reflexdb_images 1.0" in text
    assert "reflexdb_image_store_bytes 0.0" not in text
    assert "reflexdb_image_store_free_bytes " in text
