"""Checkpoints between deployments: a new one of the same plan and source begins with what the last one had on disk.

    INSTANCE/checkpoint, checkpoint.at        the server's (engine/doc/checkpoint.md); ours to link, never to write
    INSTANCE/followed.json, left.json         what sync knows of the rows in them; copied beside them
    DATA/checkpoints/<database_id>/           those of a paused database, which has no instance

Files are never changed once they have their name, so links share them safely. The server checks all of it again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from reflexdb.model.errors import InvalidRequest
from reflexdb.model.plan import Plan
from reflexdb.sources.base import SourceAddress
from reflexdb.sync.left import Left
from reflexdb.sync.settings import MEMORY_NAME, SETTINGS_NAME, SyncProcessSettings

NAMES = ("checkpoint.at", "checkpoint")
"""The position first: without its checkpoint it means nothing, and the other way around it is only older."""
_MAGIC = b"RFXCHKPT"
_FINGERPRINT = slice(16, 48)


class Kept:
    """Checkpoints of paused databases, under one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def of(self, database_id: str) -> Path:
        return self._root / database_id

    def keep(self, database_id: str, instance: Path) -> None:
        """Take the instance's checkpoint, in place of an earlier one; fine where it has none."""
        self.drop(database_id)
        home = self.of(database_id)
        home.mkdir(mode=0o700, parents=True)
        if _link(instance, home):
            shutil.copyfile(instance / SETTINGS_NAME, home / SETTINGS_NAME)

    def drop(self, database_id: str) -> None:
        shutil.rmtree(self.of(database_id), ignore_errors=True)


def offer(former: Path, instance: Path, plan: Plan, source: SourceAddress) -> bool:
    """Give a new instance the checkpoint in `former`, if it is of its plan and its source: a position of another server
    means something else, or nothing."""
    try:
        with (former / NAMES[1]).open("rb") as file:
            head = file.read(_FINGERPRINT.stop)
        told = SyncProcessSettings.load(former).address
    except (OSError, InvalidRequest):
        return False
    if not head.startswith(_MAGIC) or head[_FINGERPRINT] != plan.fingerprint():
        return False
    if (told.backend, told.host, told.port) != (source.backend, source.host, source.port):
        return False
    return _link(former, instance)


def _link(source: Path, target: Path) -> bool:
    """False where there is no checkpoint, or the file system has no links.

    The instance may go on meanwhile. What it remembers of its tables may be newer than the checkpoint, not older;
    tables that it had left as they were at any time while this was done count as such.
    """
    try:
        left = Left.read(source)
        if not _link_rows(source, target):
            return False
        left.joined(Left.read(source)).write(target)
    except (OSError, ValueError):  # which tables miss changes is not known
        _unlink_rows(target)
        return False
    with contextlib.suppress(OSError):  # without it, the tables are read again
        shutil.copyfile(source / MEMORY_NAME, target / MEMORY_NAME)
    return True


def _link_rows(source: Path, target: Path) -> bool:
    try:
        for name in NAMES:
            with contextlib.suppress(FileNotFoundError):
                os.link(source / name, target / name)
    except OSError:
        _unlink_rows(target)
    return (target / NAMES[1]).exists()


def _unlink_rows(target: Path) -> None:
    for name in NAMES:
        (target / name).unlink(missing_ok=True)
