"""Connects to MySQL or MariaDB, and says in words what went wrong.

Every connection speaks utf8mb4, so that the server converts other character sets, and UTC, so that TIMESTAMP columns
come as instants. All waits are bounded. Every PyMySQL exception that leaves this package passes `translate`; the
password is in none of them.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any

import pymysql
from pymysql.connections import Connection

from reflexdb.model.errors import SourceDenied, SourceError, SourceInterrupted, SourceMissing, SourceUnreachable
from reflexdb.sources import sessions
from reflexdb.sources.base import SourceAddress

DEFAULT_PORT = 3306
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 300
"""The longest silence of the server within a statement, before the connection is given up."""
LOCK_WAIT_S = 30
"""For a table that somebody holds locked. The servers' own default is a day and more."""
PAUSE_TIMEOUT_S = 3600
"""How long the server waits for us while we are busy with rows it sent."""

# fmt: off
_DENIED = {1044, 1045, 1130, 1142, 1143, 1227, 1251, 1356, 1370, 1410, 1698, 1820, 1862, 2059, 2061, 3118}
_MISSING = {1049, 1051, 1054, 1109, 1146}
_UNREACHABLE = {
    1040, 1053, 1077, 1129, 1158, 1159, 1160, 1161, 1203, 1226, 1927, 2002, 2003, 2005, 2006, 2012, 2013, 2055,
}
_INTERRUPTED = {
    1021, 1028, 1037, 1038, 1041, 1114, 1135, 1180, 1205, 1206, 1213, 1317, 1412, 1637, 1969, 3024, 3019, 3170,
}
# fmt: on
"""What ends one statement for a reason that passes: cancelled or too slow, waited too long for a lock, no memory or
disk space, a definition that changed since the snapshot."""


def connect(address: SourceAddress, lock_wait_s: float = LOCK_WAIT_S) -> Connection[Any]:
    """A connection in UTC and utf8mb4, in a mode where statements only read."""
    where: dict[str, Any] = {"host": address.host, "port": address.port or DEFAULT_PORT}
    if address.host.startswith("/"):
        where = {"unix_socket": address.host}
    with translated(address):
        connection: Connection[Any] = _Connection(
            **where,
            user=address.user,
            password=address.password.encode(),  # PyMySQL would encode text as latin1
            charset="utf8mb4",
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=CONNECT_TIMEOUT_S,  # which is also how long its greeting may take
            write_timeout=READ_TIMEOUT_S,
            autocommit=True,
            init_command=(
                f"SET time_zone = '+00:00', net_write_timeout = {PAUSE_TIMEOUT_S}, wait_timeout = {PAUSE_TIMEOUT_S}, "
                "/*!80030 show_gipk_in_create_table_and_information_schema = ON, */ sql_mode = '', "
                f"sql_quote_show_create = 1, lock_wait_timeout = {max(1, round(lock_wait_s))}"
            ),
        )
        number: int = connection.thread_id()  # type: ignore[no-untyped-call]
        sessions.opened(lambda: _kill(address, number))
        connection._read_timeout = READ_TIMEOUT_S  # type: ignore[attr-defined] # PyMySQL has no other way to change it
        return connection


def _kill(address: SourceAddress, number: int) -> None:
    """End a session of the same user's at the server, with what it runs."""
    with closing(connect(address)) as connection, connection.cursor() as cursor:
        cursor.execute("KILL %s", (number,))


class _Connection(Connection):
    """Encrypted where the server can, like any of PyMySQL's."""

    def _create_ssl_ctx(self, sslp: dict[str, Any]) -> ssl.SSLContext:
        """PyMySQL reads the system's certificates for every connection, which takes longer than all the rest of it;
        it checks none."""
        return _unchecked() if not sslp else super()._create_ssl_ctx(sslp)  # type: ignore[misc]


@cache
def _unchecked() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def quoted(name: str) -> str:
    """An identifier for SQL; with sql_mode empty a backtick is the only character that matters."""
    return "`" + name.replace("`", "``") + "`"


@contextmanager
def translated(address: SourceAddress, doing: str = "") -> Iterator[None]:
    """Turn PyMySQL's exceptions into ours; `doing` says at what, such as "reading table 'x'"."""
    try:
        yield
    except (pymysql.MySQLError, OSError, UnicodeError, RuntimeError) as error:
        raise translate(error, address, doing) from error


def translate(error: Exception, address: SourceAddress, doing: str = "") -> SourceError:
    """What an exception means to the person who gave the address."""
    at = f"{address.host}:{address.port or DEFAULT_PORT}" if not address.host.startswith("/") else address.host
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    said = str(error.args[1]) if len(error.args) > 1 else str(error)
    task = f" while {doing}" if doing else ""
    if code in _DENIED:
        advice = (
            "Check user and password"
            if code in (1045, 1698, 1130)
            else f"Run: GRANT SELECT ON <schema>.* TO '{address.user}'@'%'"
        )
        return SourceDenied(f"MySQL at {at} refused user {address.user!r}{task}: {said}. {advice}.")
    if code in _MISSING:
        return SourceMissing(f"MySQL at {at}{task}: {said}. Check the name, and that user {address.user!r} may see it.")
    if code in _UNREACHABLE or isinstance(error, pymysql.err.InterfaceError | OSError):
        return SourceUnreachable(
            f"MySQL at {at} did not answer{task}: {said}. Check host and port, that the server runs, and that "
            "its firewall lets this machine in."
        )
    if code in _INTERRUPTED:
        return SourceInterrupted(f"MySQL at {at} ended a statement{task}: {said}. It is tried again.")
    return SourceError(f"MySQL at {at} reported an error{task}: {said}.")
