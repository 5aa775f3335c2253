"""Asks a server for its binary log from a position on, and hands out events as bytes.

PyMySQL does the greeting, TLS and the login; after the dump command the socket is read here, since a stream is packets
without end and every wait must have a limit. An event of 16 MiB or more comes in several packets and is joined. Knows
nothing of what is in an event. Uses PyMySQL's inner names (`_sock`, `_execute_command`), as stream.py does; tests on a
real server would notice a change.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.constants import COMMAND

from reflexdb.model.errors import PositionLost, SourceData, SourceError, SourceUnreachable
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.mysql.binlog.gtid import FilePosition, GtidSet, Position
from reflexdb.sources.mysql.connect import connect, translate, translated

HEARTBEAT_S = 5.0
"""How long the server may say nothing before it sends a heartbeat."""
SILENCE_S = 20.0
"""Without even a heartbeat for so long, the connection is given up as dead."""
EVENT_BYTES = 1 << 30
"""The largest event that is taken, which is also the servers' limit (max_allowed_packet)."""
_FULL = 0xFFFFFF
_PIECE = 1 << 18
_ANNOTATIONS_LEFT_OUT = 0
_THROUGH_POSITION, _THROUGH_GTID = 0x02, 0x04
_LOST = 1236
_SERVER_FATAL = {1053, 1077, 1927, 1317, 2006, 2013}


@dataclass(frozen=True, slots=True)
class Dump:
    """How to ask for the log."""

    server_id: int
    mariadb: bool
    replica_uuid: str
    """MySQL tells replicas apart by it."""


class BinlogClient:
    """One connection on which the server sends its log. Used by one thread."""

    def __init__(self, address: SourceAddress, dump: Dump, position: Position) -> None:
        self._address = address
        self._connection = connect(address)
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        """Packets of an event whose end has not come yet."""
        self._heard = time.monotonic()
        try:
            with translated(address, "asking for its binary log"):
                self.checksum = self._announce(dump, position)
                self._register(dump)
                self._request(dump, position)
        except BaseException:
            self.close()
            raise
        inner: Any = self._connection
        self._socket: socket.socket = inner._sock

    def next(self, timeout_s: float) -> bytes | None:
        """The next event; None if it is not there within the time. Raises SourceUnreachable, PositionLost and other
        SourceErrors by what the server says."""
        give_up = time.monotonic() + timeout_s
        while (event := self._event()) is None:
            left = give_up - time.monotonic()
            if not self._receive(max(left, 0.001)):
                self._require_life()
                return None
        return event

    def close(self) -> None:
        with suppress(pymysql.MySQLError, OSError):
            inner: Any = self._connection
            inner._force_close()  # without a COM_QUIT, which nobody would read

    def _require_life(self) -> None:
        if time.monotonic() - self._heard > SILENCE_S:
            raise SourceUnreachable(
                f"MySQL at {self._address.host} has sent nothing for {SILENCE_S:.0f} s, not even a heartbeat; the "
                "connection is taken for dead."
            )

    def _receive(self, timeout_s: float) -> bool:
        try:
            self._socket.settimeout(timeout_s)
            piece = self._socket.recv(_PIECE)
        except TimeoutError:
            return False
        except OSError as error:
            raise translate(error, self._address, "following its binary log") from error
        if not piece:
            raise SourceUnreachable(
                f"MySQL at {self._address.host} closed the connection while its binary log was followed."
            )
        self._heard = time.monotonic()
        self._buffer += piece
        return True

    def _event(self) -> bytes | None:
        """An event that is whole in the buffer."""
        buffer = self._buffer
        while len(buffer) >= 4:
            length = buffer[0] | buffer[1] << 8 | buffer[2] << 16
            if len(buffer) < 4 + length:
                return None
            packet = bytes(memoryview(buffer)[4 : 4 + length])
            del buffer[: 4 + length]
            if not self._parts:
                self._check(packet)
                packet = packet[1:]
            self._parts.append(packet)
            if length == _FULL:
                if sum(map(len, self._parts)) > EVENT_BYTES:
                    raise SourceData(f"The server sent an event of more than {EVENT_BYTES:,} bytes.")
                continue
            event = b"".join(self._parts) if len(self._parts) > 1 else packet
            self._parts = []
            return event
        return None

    def _check(self, packet: bytes) -> None:
        """Every event begins with a zero byte; errors and the end of the stream do not."""
        first = packet[0] if packet else 0xFE
        if first == 0:
            return
        if first == 0xFF:
            try:
                pymysql.err.raise_mysql_exception(packet)
            except pymysql.MySQLError as error:
                raise self._refused(error) from error
        if first == 0xFE:
            raise SourceUnreachable(f"MySQL at {self._address.host} ended the binary log's stream.")
        raise SourceData(f"The server sent a packet that begins with {first} where an event was expected.")

    def _refused(self, error: pymysql.MySQLError) -> SourceError:
        """What an error within the stream means."""
        code, said = error.args[0], str(error.args[1]) if len(error.args) > 1 else str(error)
        if code in _SERVER_FATAL:
            return SourceUnreachable(f"MySQL at {self._address.host} ended the stream of its binary log: {said}.")
        same_id = "same server_uuid" in said or "same server_id" in said or "server_uuid/server_id" in said
        if same_id or code == 4052:
            return SourceError(
                "Another replica follows this server with the same server id and ended our stream. Give one of the "
                "two another id, with `binlogServerId` of this connection."
            )
        if code == _LOST and "max_allowed_packet" in said:
            return SourceData(f"The server cannot send an event of its binary log: {said}.")
        if code == _LOST or code in (1220, 1373):
            return PositionLost(f"The server's binary log no longer has what follows the position: {said}.")
        return translate(error, self._address, "following its binary log")

    def _announce(self, dump: Dump, position: Position) -> bool:
        """Tell the server what we understand. Returns whether it sends checksums."""
        beat = int(HEARTBEAT_S * 1e9)
        settings = [f"SET @master_heartbeat_period = {beat}, @source_heartbeat_period = {beat}",
                    "SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32'"]  # fmt: skip
        if dump.mariadb:
            settings.append("SET @mariadb_slave_capability = 4")
            if not isinstance(position, FilePosition):
                settings.append("SET @slave_gtid_strict_mode = 1, @slave_gtid_ignore_duplicates = 0")
        else:
            settings.append("SET @slave_uuid = %s, @replica_uuid = %s")
        with self._connection.cursor() as cursor:
            for statement in settings:
                cursor.execute(statement, (dump.replica_uuid,) * 2 if "%s" in statement else None)
            if dump.mariadb and not isinstance(position, FilePosition):
                cursor.execute("SET @slave_connect_state = %s", (str(position),))
        return True

    def _register(self, dump: Dump) -> None:
        name = b"reflexdb"
        payload = dump.server_id.to_bytes(4, "little") + bytes((len(name),)) + name + b"\0\0"
        self._command(COMMAND.COM_REGISTER_SLAVE, payload + bytes(10))
        inner: Any = self._connection
        inner._read_ok_packet()

    def _request(self, dump: Dump, position: Position) -> None:
        server_id = dump.server_id.to_bytes(4, "little")
        if isinstance(position, GtidSet):
            known = position.encoded()
            payload = _THROUGH_GTID.to_bytes(2, "little") + server_id + bytes(4) + (4).to_bytes(8, "little")
            self._command(COMMAND.COM_BINLOG_DUMP_GTID, payload + len(known).to_bytes(4, "little") + known)
            return
        file, offset = (position.file, position.offset) if isinstance(position, FilePosition) else ("", 4)
        flags = _ANNOTATIONS_LEFT_OUT.to_bytes(2, "little")
        self._command(COMMAND.COM_BINLOG_DUMP, offset.to_bytes(4, "little") + flags + server_id + file.encode())

    def _command(self, command: int, payload: bytes) -> None:
        inner: Any = self._connection
        inner._execute_command(command, payload)


def columns_of(connection: Connection[Any], statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """Every row of one statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments or None)
        return list(cursor.fetchall())
