"""The identity of a data directory: an id in `site.id`, made with the directory and kept in its records and backups."""

from __future__ import annotations

import fcntl
from pathlib import Path

from reflexdb.control.rooms import new_id
from reflexdb.records.secrets import write_private

NAME = "site.id"


def site_of(data_dir: Path) -> str:
    path = data_dir / NAME
    with (data_dir / ".site.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            write_private(path, f"{new_id()}\n".encode())
        return path.read_text("ascii").strip()
