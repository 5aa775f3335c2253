"""What the database under the records reports, in our words: unavailable, damaged, or not to be stored.

`translated(where)` is around every transaction. A broken rule of the schema (IntegrityError) passes untouched: it is
the query's own. Nothing of a statement, its parameters or a password gets into a message.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from reflexdb.model.errors import InvalidRequest, RecordsUnavailable, ReflexError, SystemError_

_SQLITE = {
    "SQLITE_BUSY": "are locked by another process; end it, or wait until it has finished",
    "SQLITE_LOCKED": "are locked by another process; end it, or wait until it has finished",
    "SQLITE_FULL": "can't be written: the disk is full; free some space",
    "SQLITE_READONLY": "can't be written: the file or its disk is read-only; make it writable",
    "SQLITE_IOERR": "can't be read or written: the disk reports an error, or is full; look at the disk",
    "SQLITE_CANTOPEN": "can't be opened: look at the file, its directory and their permissions",
    "SQLITE_PERM": "can't be opened: the file's permissions forbid it",
    "SQLITE_NOMEM": "can't be read: memory is used up",
}
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_POSTGRESQL = {
    "55P03": "are busy: another writer held them for too long; try again",
    "57014": "did not answer in time; try again",
    "25P03": "gave up on a transaction that had stood still for too long; try again",
    "25006": "are read-only: this PostgreSQL is a standby; name the primary",
    "53100": "can't be written: the disk of PostgreSQL is full; free some space",
    "53200": "can't be read: PostgreSQL has no memory left",
    "53300": "have no connection left; raise max_connections of PostgreSQL, or run fewer control planes",
    "28P01": "refuse the login: check user and password",
    "28000": "refuse the login: check user, password and pg_hba.conf",
    "3D000": "are not there: PostgreSQL has no such database; create it",
    "42501": "may not be changed by this user; make it the owner of the database",
}
_REFUSED_LOGIN = ("password authentication failed", "no password supplied", "no pg_hba.conf entry")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raises RecordsUnavailable, SystemError_ or InvalidRequest instead of the driver's exceptions."""
    try:
        yield
    except IntegrityError:
        raise
    except PoolTimeout as exc:
        raise RecordsUnavailable("The records have no connection free; try again", where) from exc
    except DBAPIError as exc:
        raise _ours(exc, where) from exc


def _ours(exc: DBAPIError, where: str) -> ReflexError | DBAPIError:
    sqlite = getattr(exc.orig, "sqlite_errorname", None)
    if sqlite is not None:
        return _from_sqlite(exc, sqlite, where)
    if isinstance(exc, DataError):
        return InvalidRequest("A value is too long, too large or holds a NUL character, and can't be stored")
    state = getattr(exc.orig, "sqlstate", None) or ""
    if state in _POSTGRESQL:
        return RecordsUnavailable(f"The records {_POSTGRESQL[state]}", where)
    if isinstance(exc, ProgrammingError) and not exc.connection_invalidated:
        if state:
            return exc
        return RecordsUnavailable("The records can't be reached: the address has an option libpq does not know", where)
    said = str(exc.orig)
    if any(words in said for words in _REFUSED_LOGIN):
        return RecordsUnavailable(f"The records {_POSTGRESQL['28P01']}", where)
    if "does not exist" in said and not state:
        return RecordsUnavailable("The records are not there: PostgreSQL has no such database or user", where)
    return RecordsUnavailable("The records can't be reached; see that PostgreSQL runs, then try again", where)


def _from_sqlite(exc: DBAPIError, name: str, where: str) -> ReflexError | DBAPIError:
    if name.startswith(_DAMAGED):
        return SystemError_("The metadata database is damaged; restore it from a backup")
    for prefix, words in _SQLITE.items():
        if name.startswith(prefix):
            return RecordsUnavailable(f"The records {words}", where)
    return exc
