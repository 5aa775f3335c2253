"""Opens a SQLite file so that it can only be read, and says in words what went wrong.

The file is never created nor written. Called by source.py; every sqlite3 exception that leaves this package passes
`translate`. Assumes that nobody replaces a file in place while it is open; the source notices a new file under the
old name by its identity.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from reflexdb.model.errors import (
    SourceData,
    SourceDenied,
    SourceError,
    SourceInterrupted,
    SourceMissing,
    SourceUnreachable,
)
from reflexdb.sources.batching import VALUE_BYTES

BUSY_TIMEOUT_S = 30.0
"""How long to wait for a writer that holds the file."""


def connect(path: str) -> sqlite3.Connection:
    """A read-only connection that any thread may use, one at a time."""
    _check_file(path)
    uri = "file:" + quote(str(Path(path).absolute())) + "?mode=ro"
    with translated(path):
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=0
        )
        try:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES)
            connection.execute("PRAGMA query_only = ON")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection


def identity(path: str) -> tuple[int, int]:
    """Device and inode of the file that is there now."""
    if not path or "\0" in path:
        raise SourceMissing(
            "The address of a SQLite source is the path of its file; the one given is empty or has a NUL in it."
        )
    try:
        status = Path(path).stat()
    except OSError as error:
        raise SourceMissing(f"The SQLite file {path!r} cannot be found: {error.strerror}. Check the path.") from error
    return status.st_dev, status.st_ino


def _check_file(path: str) -> None:
    """Looks, and opens nothing: closing a file gives up every lock this process has on it, those of an open snapshot
    too."""
    file = Path(path)
    try:
        if file.is_dir():
            raise SourceMissing(f"{path!r} is a directory; give the path of the SQLite file.")
        file.stat()
        if not os.access(file, os.R_OK):
            raise PermissionError
    except FileNotFoundError as error:
        raise SourceMissing(
            f"There is no file {path!r}. Check the path; ReflexDB never creates a source's file."
        ) from error
    except PermissionError as error:
        raise SourceDenied(f"The file {path!r} may not be read by this user; grant it read permission.") from error
    except OSError as error:
        raise SourceMissing(f"The file {path!r} cannot be opened: {error.strerror}.") from error


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn sqlite3's exceptions into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path) from error


def translate(error: sqlite3.Error, path: str, doing: str = "") -> SourceError:
    """What a sqlite3 exception means to the person who gave the path."""
    task = f" while {doing}" if doing else ""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return SourceUnreachable(
            f"The SQLite file {path!r} stayed locked by a writer for {BUSY_TIMEOUT_S:.0f} s; try again."
        )
    if primary == sqlite3.SQLITE_NOTADB:
        return SourceData(f"{path!r} is not a SQLite database (or it is encrypted).")
    if primary == sqlite3.SQLITE_CORRUPT:
        return SourceData(f"The SQLite file {path!r} is damaged ({error}); check it with `PRAGMA integrity_check`.")
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return SourceDenied(
            f"The SQLite file {path!r} cannot be opened for reading ({error}). If it is in WAL mode, this user must be "
            "able to write its directory, or the -wal and -shm files must be there and readable."
        )
    if primary in (sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return SourceInterrupted(
            f"A statement on the SQLite file {path!r} was ended{task}: {error}. It is tried again; see that there is "
            "memory, and disk space where SQLite keeps its temporary files."
        )
    said = str(error)
    if said.startswith(("no such table", "no such column")):
        return SourceMissing(f"The SQLite file {path!r} has changed{task}: {said}. Rebuild from its present schema.")
    return SourceError(f"The SQLite file {path!r} reported an error{task}: {said}.")
