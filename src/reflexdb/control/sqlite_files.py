"""Which files of this machine may be a source: a SQLite connection names one by its path.

Asked wherever a path is taken or used. The data directory, which has every customer's records, is never a source. Where
the operator names directories, a file must be below one of them, with every link resolved; where several customers
share the control plane and no directory is named, there is no file that may be read. One sentence tells all of it, and
before the file is looked at: a caller learns nothing of which files there are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from reflexdb.control.rooms import Rooms
from reflexdb.model.errors import InvalidRequest
from reflexdb.records import accounts

VARIABLE = "REFLEXDB_SQLITE_DIRECTORIES"
REFUSAL = f"this server reads SQLite files only below the directories that its operator allows ({VARIABLE})"


def named_directories(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Those that the operator allows. Raises InvalidRequest for a name that is none."""
    named = [Path(text) for text in environ.get(VARIABLE, "").split(os.pathsep) if text]
    for directory in named:
        if not directory.is_absolute() or not directory.is_dir():
            raise InvalidRequest(f"{VARIABLE} names {directory}, which is no absolute path of a directory")
    return tuple(named)


def refusal(rooms: Rooms, path: str) -> str | None:
    """Why the file is no source here; nothing where it may be read."""
    try:
        file = Path(path).resolve()
        private = rooms.data_dir.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a name that no file can have
        return REFUSAL
    if file.is_relative_to(private):
        return REFUSAL
    allowed = rooms.settings.sqlite_directories
    if allowed:
        below = any(file.is_relative_to(directory.resolve()) for directory in allowed)
    else:
        below = not _have_several_customers(rooms)
    return None if below else REFUSAL


def _have_several_customers(rooms: Rooms) -> bool:
    with rooms.store.read() as tx:
        return len(accounts.customers_after(tx, None, 2)) > 1
