"""A SQLite connection reaches the files that the operator allows, and tells nothing of any other."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from reflexdb.api.app import create_app
from reflexdb.control.connections import source_address
from reflexdb.control.control import Control
from reflexdb.control.local import open_control
from reflexdb.control.rooms import Settings, new_id, utc_now
from reflexdb.control.sqlite_files import REFUSAL
from reflexdb.model.errors import SourceDenied
from reflexdb.records import accounts
from tests.api.api import UNHURRIED, Api, make_source, sqlite_connection
from tests.api.plane import spawn


def add_customer(control: Control) -> None:
    with control.rooms.store.write() as tx:
        accounts.add_customer(tx, id=new_id(), name="other", plan="free", created_at=utc_now())


def refused(api: Api, path: str) -> None:
    message = api("POST", "/connections", sqlite_connection(path), expect=400).json()["message"]
    assert message == f"mysqlHost: {REFUSAL}"
    tested: dict[str, Any] = api.post("/connections/test-connection", {"backend": "sqlite", "mysqlHost": path}, 200)
    assert (tested["ok"], tested["error"].lower()) == (False, REFUSAL.lower())


def test_the_records_are_no_source(api: Api, control: Control, tmp_path: Path) -> None:
    data = control.rooms.data_dir
    files = [path for path in data.rglob("*") if path.is_file()]
    (tmp_path / "link.db").symlink_to(files[0])
    (tmp_path / "folder").symlink_to(data)
    hidden = [data / "nothing.db", tmp_path / "folder" / "x", tmp_path / "link.db", data / ".." / data.name / "x"]

    for path in [*files, *hidden]:
        refused(api, str(path))
    refused(api, os.path.relpath(files[0]))


def test_a_file_in_a_loop_of_links_is_refused(api: Api, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")

    refused(api, str(tmp_path / "a" / "x.db"))


def test_a_second_customer_ends_the_freedom_of_the_first(api: Api, control: Control, source: Path) -> None:
    connection = api.post("/connections", sqlite_connection(str(source)), expect=201)["connection"]["id"]
    row = control.connections.get(control.accounts.authenticate(api.key), connection)
    assert source_address(control.rooms, row).host == str(source)
    add_customer(control)

    refused(api, str(source))
    with pytest.raises(SourceDenied):
        source_address(control.rooms, row)
    assert api.post(f"/connections/{connection}/test-connection", expect=200)["ok"] is False


def test_only_what_is_below_an_allowed_directory_is_reached(tmp_path: Path) -> None:
    shared, beside = tmp_path / "shared", tmp_path / "shared-not"
    for directory in (shared / "deep", beside, tmp_path / "data"):
        directory.mkdir(parents=True)
    inside, outside = make_source(shared / "deep" / "a.db"), make_source(beside / "b.db")
    (shared / "out.db").symlink_to(outside)
    shutil.copy(inside, tmp_path / "c.db")
    settings = Settings(base_url="http://127.0.0.1:8400", sqlite_directories=(shared,))
    control = open_control(tmp_path / "data", settings, "127.0.0.1")
    first = control.accounts.ensure_first()
    assert first is not None
    add_customer(control)
    with TestClient(create_app(control, UNHURRIED)) as client:
        api = Api(client, first.key)
        for path in (outside, shared / "out.db", shared / ".." / "c.db", tmp_path / "c.db", beside / "none.db"):
            refused(api, str(path))
        made = api.post("/connections", sqlite_connection(str(inside)), expect=201)["connection"]["id"]
        api("PATCH", f"/connections/{made}", {"mysqlHost": str(outside)}, expect=400)
        assert api.post(f"/connections/{made}/test-connection", expect=200)["ok"] is True
    control.rooms.store.close()


def test_a_directory_that_is_none_is_told_at_the_start(tmp_path: Path) -> None:
    process = spawn(tmp_path / "data", 0, REFLEXDB_SQLITE_DIRECTORIES=f"{tmp_path}:relative")
    _, said = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "REFLEXDB_SQLITE_DIRECTORIES names relative" in said
