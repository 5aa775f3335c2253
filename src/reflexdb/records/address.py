"""Where the records are kept, from what the operator says: an address, and its password from a file.

Used by `serve` and the commands on a data directory. No message repeats the address: it may hold a password.
"""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from reflexdb.model.errors import InvalidRequest

ADDRESS_VARIABLE = "REFLEXDB_RECORDS"
PASSWORD_FILE_VARIABLE = "REFLEXDB_RECORDS_PASSWORD_FILE"  # noqa: S105  # the name of a variable
_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")


def records_url(address: str | None) -> URL | None:
    """The PostgreSQL that an address names, with its password; None where there is none: SQLite. Raises InvalidRequest.

    The environment's address is taken out of it, so that nothing that is started later inherits a password.
    """
    os.environ.pop(ADDRESS_VARIABLE, None)
    if not address:
        return None
    try:
        url = make_url(address)
    except (ArgumentError, ValueError) as exc:
        raise InvalidRequest("the records' address is not of the form postgresql://user@host:port/database") from exc
    if url.drivername not in _SCHEMES:
        raise InvalidRequest("the records' address must begin with postgresql://; without one they are kept in SQLite")
    if not url.database:
        raise InvalidRequest("the records' address names no database: postgresql://user@host:port/database")
    if (path := os.environ.get(PASSWORD_FILE_VARIABLE)) is not None:
        url = url.set(password=_first_line(Path(path)))
    return url.set(drivername="postgresql+psycopg")


def _first_line(path: Path) -> str:
    try:
        return path.read_text("utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidRequest(f"{PASSWORD_FILE_VARIABLE} names {path}, which can't be read as text") from exc
