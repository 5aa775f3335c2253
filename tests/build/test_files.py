"""Scratch directories: gone afterwards, and those that somebody left, too."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reflexdb.build.files import TEMPORARY_PREFIX, forget_scratch, forget_temporary, locked, scratch_directory


def left(parent: Path) -> set[str]:
    return {path.name for path in parent.iterdir() if path.is_dir()}


def test_what_was_left_is_forgotten_and_what_is_in_use_stays(tmp_path: Path) -> None:
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "lock").touch()
    (tmp_path / "before its lock").mkdir()
    with scratch_directory(tmp_path) as ours:
        assert left(tmp_path) == {ours.name}
        (tmp_path / "another").mkdir()
        (tmp_path / "held").mkdir()
        with locked(tmp_path / "held" / "lock"):
            forget_scratch(tmp_path)
            assert left(tmp_path) == {ours.name, "held"}
        forget_scratch(tmp_path)
        assert left(tmp_path) == {ours.name}
    assert left(tmp_path) == set()


def test_where_nothing_was_ever_built_there_is_nothing_to_forget(tmp_path: Path) -> None:
    forget_scratch(tmp_path / "none")
    forget_scratch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_temporary_files_are_forgotten_once_nobody_writes(tmp_path: Path) -> None:
    (tmp_path / "known").touch()
    (tmp_path / f"{TEMPORARY_PREFIX}left").touch()
    forget_temporary(tmp_path / "none", tmp_path / "lock")
    with ThreadPoolExecutor(1) as pool:
        with locked(tmp_path / "lock"):
            waiting = pool.submit(forget_temporary, tmp_path, tmp_path / "lock")
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
            (tmp_path / f"{TEMPORARY_PREFIX}left").rename(tmp_path / "written")
        waiting.result(10)
    assert {path.name for path in tmp_path.iterdir()} == {"known", "lock", "written"}
