"""Secrets at rest: nothing readable on disk, nothing exchangeable, no half-written file."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from reflexdb.model.errors import SystemError_
from reflexdb.records import secrets
from reflexdb.records.secrets import SecretStore, sweep_private, write_private


def test_a_secret_survives_a_restart(tmp_path: Path) -> None:
    SecretStore(tmp_path).put("name", b"value")

    assert SecretStore(tmp_path).get("name") == b"value"


def test_neither_file_shows_the_secret_and_both_are_private(tmp_path: Path) -> None:
    SecretStore(tmp_path).put("connection/1/2", b"correct horse")

    for file in (tmp_path / "secrets.bin", tmp_path / "master.key"):
        assert b"horse" not in file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_same_value_is_never_written_the_same_way_twice(tmp_path: Path) -> None:
    store = SecretStore(tmp_path)
    store.put("a", b"value")
    store.put("b", b"value")
    entries = json.loads((tmp_path / "secrets.bin").read_text())["entries"]

    assert entries["a"] != entries["b"]


def test_exchanged_entries_are_noticed(tmp_path: Path) -> None:
    store = SecretStore(tmp_path)
    store.put("a", b"mine")
    store.put("b", b"yours")
    document = json.loads((tmp_path / "secrets.bin").read_text())
    document["entries"] = {"a": document["entries"]["b"], "b": document["entries"]["a"]}
    (tmp_path / "secrets.bin").write_text(json.dumps(document))

    with pytest.raises(SystemError_, match="can't be decrypted"):
        SecretStore(tmp_path)


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"version": 2}', b'{"version": 1, "entries": {"a": "!"}}', b"\xff"]
)
def test_a_damaged_file_is_refused_in_words(tmp_path: Path, damage: bytes) -> None:
    SecretStore(tmp_path).put("a", b"b")
    (tmp_path / "secrets.bin").write_bytes(damage)

    with pytest.raises(SystemError_, match=r"secrets\.bin"):
        SecretStore(tmp_path)


@pytest.mark.parametrize("damage", ["", "!", "AAAA", "A" * 80])
def test_one_damaged_secret_does_not_cost_the_others(tmp_path: Path, damage: str) -> None:
    store = SecretStore(tmp_path)
    store.put("a", b"mine")
    store.put("b", b"yours")
    document = json.loads((tmp_path / "secrets.bin").read_text())
    document["entries"]["a"] = damage
    (tmp_path / "secrets.bin").write_text(json.dumps(document))
    store = SecretStore(tmp_path)
    store.put("c", b"new")

    assert (store.damaged, store.get("b"), SecretStore(tmp_path).get("c")) == (("a",), b"yours", b"new")
    with pytest.raises(SystemError_, match=r"The secret a in .* can't be decrypted"):
        store.get("a")


def test_what_a_killed_write_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    store = SecretStore(tmp_path)
    store.put("a", b"mine")
    kept = sorted(path.name for path in tmp_path.iterdir())
    for name in (".admin.key.0123abcd", ".secrets.bin.ffffffff"):
        (tmp_path / name).write_bytes(b"rmk_secret")
    (tmp_path / ".profile").touch()
    sweep_private(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, ".profile"])


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_what_is_being_written_is_not_swept_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    swept: list[str] = []
    real = getattr(os, step)

    def sweep_first(*arguments: object, **options: object) -> object:
        sweep_private(tmp_path)
        swept.append(step)
        return real(*arguments, **options)

    monkeypatch.setattr(os, step, sweep_first)
    write_private(tmp_path / "key", b"new")

    assert swept
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"key": b"new"}


def test_a_lost_master_key_is_never_silently_replaced(tmp_path: Path) -> None:
    SecretStore(tmp_path).put("a", b"b")
    (tmp_path / "master.key").unlink()

    with pytest.raises(SystemError_, match=r"master\.key is missing"):
        SecretStore(tmp_path)
    assert not (tmp_path / "master.key").exists()


def test_another_master_key_is_noticed(tmp_path: Path) -> None:
    SecretStore(tmp_path).put("a", b"b")
    (tmp_path / "master.key").write_bytes(b"k" * 32)

    with pytest.raises(SystemError_, match="another one"):
        SecretStore(tmp_path)


def test_a_missing_secret_is_said_by_name(tmp_path: Path) -> None:
    with pytest.raises(SystemError_, match="connection/7"):
        SecretStore(tmp_path).get("connection/7")


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SecretStore(tmp_path)
    store.put("a", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(secrets.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.put("a", b"new")
    monkeypatch.undo()

    assert store.get("a") == SecretStore(tmp_path).get("a") == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {".secrets.lock", "master.key", "secrets.bin"}


def test_removing_what_is_not_there_writes_nothing(tmp_path: Path) -> None:
    store = SecretStore(tmp_path)
    store.put("a", b"b")
    before = (tmp_path / "secrets.bin").read_bytes()
    store.remove(["c"])

    assert (tmp_path / "secrets.bin").read_bytes() == before
    store.remove(["a", "c"])
    assert store.names() == set()
