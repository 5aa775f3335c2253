"""Connects to PostgreSQL, and says in words what went wrong.

ReflexDB's "schema" of a PostgreSQL source is `database`, meaning its schema public, or `database.schema`. A database
whose own name has a dot in it comes first. All waits are bounded. Every driver's exception that leaves this package
passes `translate`; no password is in any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import adbc_driver_manager
import psycopg
from adbc_driver_postgresql import dbapi

from reflexdb.model.errors import (
    SourceData,
    SourceDenied,
    SourceError,
    SourceInterrupted,
    SourceMissing,
    SourceUnreachable,
)
from reflexdb.sources import sessions
from reflexdb.sources.base import SourceAddress

DEFAULT_PORT = 5432
CONNECT_TIMEOUT_S = 10
CANCEL_TIMEOUT_S = 3
STATEMENT_TIMEOUT_S = 120
"""For describing and testing."""
READ_TIMEOUT_S = 6 * 3600
"""For one table's SELECT, which is as long as the table and its reader need."""
LOCK_TIMEOUT_S = 30
NAME_BYTES = 63
MAINTENANCE_DATABASES = ("postgres", "template1")

_NOTICE_GONE = (
    "SELECT set_config('client_connection_check_interval', '1000', false) "
    "WHERE current_setting('server_version_num')::int >= 140000"
)
"""Within a second of our end, killed or not, the server gives up our statement; some systems can't have that."""
_NO_SUCH_DATABASE = re.compile(r'database ".*" does not exist|3D000', re.DOTALL)
_DENIED_TEXT = re.compile(
    r"authentication failed|no password supplied|pg_hba\.conf|not permitted to log in|permission denied|does not exist",
    re.DOTALL,
)
_TOO_MANY = re.compile(
    r"too many (clients|connections)|remaining connection slots|starting up|shutting down|recovery mode"
)
_ENDED = re.compile(r"57P|25P0[34]|08|533")
"""States with which the server ends the connection, or takes none."""
_INTERRUPTED = re.compile(r"57014|55P03|55006|40|53|58|72")
"""States with which it ends one statement for a reason that passes: cancelled or too slow, waited too long for a lock,
conflicts with others or with a standby's recovery, lacks memory or disk space."""
_DRIVERS_WORDS = re.compile(
    r"^[A-Z_]+: |\[libpq\] |Execution error \[PGRES_FATAL_ERROR\]: |Failed to execute query: |could not begin COPY: "
    r"|\s*Query was: .*?(?=\. SQLSTATE: |$)|\s*\.? SQLSTATE: [0-9A-Z]{5}$",
    re.DOTALL,
)
"""What ADBC says around the server's message."""


@dataclass(frozen=True, slots=True)
class Place:
    """A schema within a database."""

    database: str
    schema: str

    @property
    def name(self) -> str:
        return self.database if self.schema == "public" else f"{self.database}.{self.schema}"


def candidates(name: str) -> list[Place]:
    """What `name` may mean, most likely first."""
    places = [Place(name, "public")]
    places += [
        Place(name[:dot], name[dot + 1 :]) for dot, sign in enumerate(name) if sign == "." and 0 < dot < len(name) - 1
    ]
    return [place for place in places if all(_is_name(part) for part in (place.database, place.schema))]


def _is_name(text: str) -> bool:
    """Whether the server could have something of this name; longer ones it would cut off without a word."""
    return 0 < len(text.encode()) <= NAME_BYTES and "\0" not in text


def parameters(address: SourceAddress, database: str) -> dict[str, str]:
    """libpq's connection parameters."""
    return {
        "host": address.host,
        "port": str(address.port or DEFAULT_PORT),
        "user": address.user,
        "password": address.password,
        "dbname": database,
        "connect_timeout": str(CONNECT_TIMEOUT_S),
        "client_encoding": "UTF8",
        "application_name": "reflexdb",
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": "60000",
    }


def connect(address: SourceAddress, database: str) -> psycopg.Connection[Any]:
    """An autocommitting psycopg connection for describing."""
    _refuse_nul(address, database)
    with translated(address):
        connection = psycopg.connect(**parameters(address, database), autocommit=True)  # type: ignore[arg-type]
        try:
            sessions.opened(lambda: connection.cancel_safe(timeout=CANCEL_TIMEOUT_S))
            connection.prepare_threshold = None  # poolers between us and the server lose prepared statements
            connection.execute(_settings(STATEMENT_TIMEOUT_S))
            with suppress(psycopg.Error):
                connection.execute(_NOTICE_GONE)
        except BaseException:
            connection.close()
            raise
        return connection


def connect_arrow(address: SourceAddress, database: str) -> Any:
    """An ADBC connection for reading; transactions are begun and ended by statement."""
    _refuse_nul(address, database)
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters(address, database).items())
    with translated(address):
        connection = dbapi.connect(f"postgresql:///?{query}", autocommit=True)
        sessions.opened(connection.adbc_cancel)
        try:
            with connection.cursor() as cursor:
                for statement in _settings(READ_TIMEOUT_S).split(";"):
                    cursor.execute(statement)
                with suppress(adbc_driver_manager.Error):
                    cursor.execute(_NOTICE_GONE)
        except BaseException:
            connection.close()
            raise
        return connection


def lock_timeout(seconds: float) -> str:
    """The statement that bounds how long the session waits for a lock."""
    return f"SET lock_timeout = '{max(1, round(seconds * 1000))}ms'"


def _settings(timeout_s: int) -> Any:
    return (
        f"SET statement_timeout = '{timeout_s}s';SET lock_timeout = '{LOCK_TIMEOUT_S}s';"
        "SET idle_in_transaction_session_timeout = 0;"
        "SET TimeZone = 'UTC';SET DateStyle = 'ISO, YMD';SET IntervalStyle = 'postgres';SET extra_float_digits = 1;"
        "SET bytea_output = 'hex'"
    )


def find(address: SourceAddress, name: str) -> tuple[Place, psycopg.Connection[Any]]:
    """The place that `name` means and a connection to its database. Raises SourceMissing if there is none."""
    for place in candidates(name):
        try:
            connection = connect(address, place.database)
        except SourceMissing:
            continue
        row = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (place.schema,)).fetchone()
        if row is not None:
            return place, connection
        connection.close()
    raise SourceMissing(
        f"PostgreSQL at {_at(address)} has no database {name!r} (with a schema public), nor a schema of "
        f"that name. Give "
        "`database` or `database.schema`; testing the connection lists those there are."
    )


def quoted(name: str) -> str:
    """An identifier for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string for SQL, for the commands that take no bound values; the same however the server reads backslashes."""
    doubled = text.replace("'", "''")
    if "\\" not in doubled:
        return f"'{doubled}'"
    return " E'" + doubled.replace("\\", "\\\\") + "'"


def _refuse_nul(address: SourceAddress, database: str) -> None:
    if any("\0" in text for text in (address.host, address.user, address.password, database)):
        raise SourceDenied("Host, user, password and database of a PostgreSQL source cannot contain NUL characters.")


def _at(address: SourceAddress) -> str:
    return f"{address.host}:{address.port or DEFAULT_PORT}"


@contextmanager
def translated(address: SourceAddress, doing: str = "") -> Iterator[None]:
    """Turn psycopg's and ADBC's exceptions into ours; `doing` says at what, such as "reading table 'x'". Only the
    driver may be used within: Arrow passes a driver's errors on as OSError where ADBC tells nothing more of them."""
    try:
        yield
    except (psycopg.Error, adbc_driver_manager.Error, UnicodeError, OSError) as error:
        raise translate(error, address, doing) from error


def translate(error: Exception, address: SourceAddress, doing: str = "") -> SourceError:
    """What an exception means to the person who gave the address."""
    state = getattr(error, "sqlstate", None) or ""
    said = " ".join(_DRIVERS_WORDS.sub("", str(error)).split())
    at, task = _at(address), f" while {doing}" if doing else ""
    if _TOO_MANY.search(said) or _ENDED.match(state):
        return SourceUnreachable(f"PostgreSQL at {at} cannot serve us now{task}: {said}")
    if _INTERRUPTED.match(state):
        return SourceInterrupted(f"PostgreSQL at {at} ended a statement{task}: {said}. It is tried again.")
    if state in ("3D000", "3F000", "42P01", "42703") or (not state and _NO_SUCH_DATABASE.search(said)):
        return SourceMissing(
            f"PostgreSQL at {at}{task}: {said} Check the name, and that user {address.user!r} may see it."
        )
    if state == "42501" and "replication" in said.lower():
        return SourceDenied(
            f"PostgreSQL at {at} refused user {address.user!r}{task}: {said}. Run: ALTER ROLE {quoted(address.user)} "
            "REPLICATION;"
        )
    if state == "42501":
        return SourceDenied(
            f"PostgreSQL at {at} refused user {address.user!r}{task}: {said} Run: GRANT SELECT ON ALL TABLES IN SCHEMA "
            f"<schema> TO {quoted(address.user)}; GRANT USAGE ON SCHEMA <schema> TO {quoted(address.user)};"
        )
    if state.startswith("28") or (not state and ("FATAL" in said or _DENIED_TEXT.search(said))):
        return SourceDenied(
            f"PostgreSQL at {at} refused user {address.user!r}{task}: {said} Check user, password and pg_hba.conf."
        )
    if state.startswith("22"):
        return SourceData(f"PostgreSQL at {at}{task}: {said}")
    if not state and isinstance(error, psycopg.OperationalError | adbc_driver_manager.OperationalError | OSError):
        return SourceUnreachable(
            f"PostgreSQL at {at} did not answer{task}: {said} Check host and port, that the server runs, and "
            f"that its firewall "
            "lets this machine in."
        )
    return SourceError(f"PostgreSQL at {at} reported an error{task}: {said}")
