"""Scratch directories: gone afterwards, and those that somebody left, too."""

from __future__ import annotations

from pathlib import Path

from reflexdb.build.files import forget_scratch, locked, scratch_directory


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
