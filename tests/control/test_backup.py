"""Backups: what is in one is of one moment and comes back whole, and one that is not whole is refused."""

from __future__ import annotations

import gzip
import stat
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from reflexdb.control.backup import back_up, key_file, restore
from reflexdb.control.control import Control
from reflexdb.control.local import open_control
from reflexdb.control.rooms import Settings, new_id, utc_now
from reflexdb.model.errors import InvalidRequest
from reflexdb.records import accounts, audit, builds, export
from tests.control.schemas import declared, schema
from tests.control.test_records import add_connection, add_database

pytestmark = pytest.mark.both_records
PASSWORD = b"canary-7f3a"


def opened(directory: Path, records: URL | None) -> Control:
    return open_control(directory, Settings(base_url="http://x"), "127.0.0.1", records)


@pytest.fixture
def control(tmp_path: Path, records: URL | None) -> Iterator[Control]:
    (tmp_path / "data").mkdir()
    control = opened(tmp_path / "data", records)
    control.accounts.ensure_first()
    control.rooms.secrets.put("connection/1/2", PASSWORD)
    (tmp_path / "data" / "admin.key").write_text("rmk_x.y\n")
    yield control
    control.rooms.store.close()


def contents(control: Control) -> dict[str, list[bytes]]:
    with control.rooms.store.read() as tx:
        return {table.name: sorted(export.lines(tx, table)) for table in export.tables(tx)}


def test_everything_comes_back_elsewhere(control: Control, tmp_path: Path, records: URL | None) -> None:
    file, place = tmp_path / "b.backup", tmp_path / "new"
    back_up(tmp_path / "data", records, file)

    assert PASSWORD not in file.read_bytes()
    assert {stat.S_IMODE(each.stat().st_mode) for each in (file, key_file(file))} == {0o600}
    with declared(tmp_path, records or tmp_path) as empty:
        target = empty if isinstance(empty, URL) else None
        restore(file, key_file(file), place, target)
        again = opened(place, target)
        assert contents(again) == contents(control)
        assert schema(target or place / "metadata.db") == schema(records or tmp_path / "data" / "metadata.db")
        assert again.rooms.secrets.get("connection/1/2") == PASSWORD
        assert (place / "admin.key").read_text() == "rmk_x.y\n"
        [customer] = customers(again)
        again.accounts.create_key(customer, "another", None)  # audited: PostgreSQL numbers on
        with again.rooms.store.read() as tx:
            assert [each.number for each in audit.chosen(tx, customer, audit.AuditFilter(), 9)] == [2, 1]
        again.rooms.store.close()


def customers(control: Control) -> list[str]:
    with control.rooms.store.read() as tx:
        found = accounts.first_customer(tx)
        return [found.id] if found else []


def test_records_move_between_sqlite_and_postgresql(control: Control, tmp_path: Path, records: URL | None) -> None:
    back_up(tmp_path / "data", records, tmp_path / "b")
    restore(tmp_path / "b", tmp_path / "b.key", tmp_path / "new", None)
    moved = opened(tmp_path / "new", None)

    assert contents(moved) == contents(control)
    moved.rooms.store.close()


def test_a_backup_while_keys_are_made_is_of_one_moment(control: Control, tmp_path: Path, records: URL | None) -> None:
    """Each key is written with its entry in the audit: a backup has both or neither."""
    [customer], done = customers(control), threading.Event()

    def write() -> None:
        while not done.is_set():
            control.accounts.create_key(customer, "k", None)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(3):
            back_up(tmp_path / "data", records, tmp_path / f"b{number}")
    finally:
        done.set()
        thread.join()
    for number in range(3):
        restore(tmp_path / f"b{number}", tmp_path / f"b{number}.key", tmp_path / f"new{number}", None)
        found = opened(tmp_path / f"new{number}", None)
        lines = contents(found)
        assert len(lines["management_keys"]) == len(lines["audit"]) > 1
        found.rooms.store.close()


def changed(archive: bytes) -> bytearray:
    """With one bit in its middle changed. Some mean the same in either state: a repetition of zeros may be copied from
    here or from there."""
    for place in range(len(archive) // 2, len(archive)):
        found = bytearray(archive)
        found[place] ^= 0x10
        try:
            if gzip.decompress(found) != gzip.decompress(archive):
                return found
        except (OSError, EOFError, zlib.error):
            return found
    raise AssertionError("no bit matters")


@pytest.mark.parametrize("damage", ["cut", "half", "changed", "other", "empty"])
def test_a_torn_or_changed_file_is_refused_and_leaves_nothing(
    control: Control, tmp_path: Path, records_kind: str, records: URL | None, damage: str
) -> None:
    if records_kind == "postgresql":
        return  # the file is the same
    file = tmp_path / "b"
    back_up(tmp_path / "data", records, file)
    content = bytearray(file.read_bytes())
    if damage == "changed":
        content = changed(bytes(content))
    pieces = {"cut": content[:-9], "half": content[: len(content) // 2], "other": b"hello", "empty": b""}
    file.write_bytes(pieces.get(damage, content))

    with pytest.raises(InvalidRequest, match="torn or changed"):
        restore(file, tmp_path / "b.key", tmp_path / "new", None)
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new*"))


def test_nothing_is_overwritten(control: Control, tmp_path: Path, records: URL | None) -> None:
    back_up(tmp_path / "data", records, tmp_path / "b")
    before = (tmp_path / "b").read_bytes()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")

    with pytest.raises(InvalidRequest, match="exists already"):
        back_up(tmp_path / "data", records, tmp_path / "b")
    with pytest.raises(InvalidRequest, match="not empty"):
        restore(tmp_path / "b", tmp_path / "b.key", tmp_path / "full", None)
    if records is not None:
        with pytest.raises(InvalidRequest, match="not empty"):
            restore(tmp_path / "b", tmp_path / "b.key", tmp_path / "new", records)
        assert len(customers(control)) == 1
    assert (tmp_path / "b").read_bytes() == before


def test_the_key_is_asked_for_and_compared(control: Control, tmp_path: Path, records: URL | None) -> None:
    back_up(tmp_path / "data", records, tmp_path / "b")
    (tmp_path / "other.key").write_bytes(b"k" * 32)

    with pytest.raises(InvalidRequest, match="not the key of this backup"):
        restore(tmp_path / "b", tmp_path / "other.key", tmp_path / "new", None)
    with pytest.raises(InvalidRequest, match="--key"):
        restore(tmp_path / "b", tmp_path / "no.key", tmp_path / "new", None)
    assert not (tmp_path / "new").exists()


def test_images_that_are_gone_are_named(control: Control, tmp_path: Path, records: URL | None) -> None:
    [customer] = customers(control)
    with control.rooms.store.write() as tx:
        add_connection(tx, "connection", customer)
        add_database(tx, "database", "d", customer)
        builds.add(
            tx, id=new_id(), database_id="database", status="succeeded", image_digest=f"sha256:{'0' * 64}",
            image_uri="oci:/x", created_at=utc_now(),
        )  # fmt: skip
    summary = back_up(tmp_path / "data", records, tmp_path / "b")

    assert summary.missing_images == (f"sha256:{'0' * 64}",)
    restore(tmp_path / "b", tmp_path / "b.key", tmp_path / "new", None)
    found = opened(tmp_path / "new", None)
    with found.rooms.store.read() as tx:
        build = builds.newest(tx, "database")
    found.rooms.store.close()
    assert build is not None
    assert build.image_uri == f"oci:{tmp_path / 'new' / 'images'}@sha256:{'0' * 64}"
