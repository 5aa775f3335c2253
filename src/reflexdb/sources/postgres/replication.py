"""One replication connection to PostgreSQL: creating slots, and the two-way copy in which changes arrive.

psycopg has no replication of its own, but libpq, which it wraps, needs none: the protocol is a command and a copy in
both directions (PostgreSQL documentation, "Streaming Replication Protocol"). Knows nothing of what the messages mean.
"""

from __future__ import annotations

import select
import struct
import time
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors as pg_errors
from psycopg import pq
from psycopg.conninfo import make_conninfo

from reflexdb.model.errors import PositionLost, SourceInterrupted, SourceUnreachable
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.postgres.connect import literal, parameters, quoted, translate, translated

_MICROS_TO_2000 = 946_684_800_000_000
_SETTINGS = "-c TimeZone=UTC -c DateStyle=ISO,YMD -c IntervalStyle=postgres -c extra_float_digits=1 -c bytea_output=hex"
_FOLLOWING = "following its changes"
CREATE_LIMIT_S = 120.0
"""A slot begins when every transaction that writes at the time has ended."""
_WAL = struct.Struct(">QQQ")
_KEEPALIVE = struct.Struct(">QQB")
_STATUS = struct.Struct(">cQQQQB")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Everything up to `end` has been sent."""

    end: int
    clock_us: int
    """The server's clock, microseconds since 1970 UTC."""
    reply: bool


@dataclass(frozen=True, slots=True)
class NewSlot:
    consistent_point: str
    """The slot has every transaction that ends after it."""
    snapshot: str
    """Name of the exported snapshot, which has all others; valid until the connection's next command."""


def parse_lsn(text: str) -> int:
    """`16/B374D848` as a number. Raises ValueError."""
    high, slash, low = text.partition("/")
    if not slash or not 0 < len(high) <= 8 or not 0 < len(low) <= 8:
        raise ValueError(f"{text[:40]!r} is not a log sequence number such as 16/B374D848")
    return int(high, 16) << 32 | int(low, 16)


def format_lsn(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


class ReplicationConnection:
    """Used by one thread. Every exception of the driver leaves translated."""

    def __init__(self, address: SourceAddress, database: str) -> None:
        self._address = address
        given = {**parameters(address, database), "replication": "database", "options": _SETTINGS}
        with translated(address, "connecting for replication"):
            self._pg = pq.PGconn.connect(make_conninfo(**given).encode())
            if self._pg.status != pq.ConnStatus.OK:
                said = self._pg.error_message.decode(errors="replace").strip()
                self._pg.finish()
                raise psycopg.OperationalError(said)

    def close(self) -> None:
        self._pg.finish()

    def identify(self) -> str:
        """The name of the cluster's history (system identifier); fails where a pooler is in between."""
        result = self._run("IDENTIFY_SYSTEM")
        return bytes(result.get_value(0, 0) or b"").decode()

    def create_slot(self, name: str, *, temporary: bool, wait_s: float = CREATE_LIMIT_S) -> NewSlot:
        """Waits for the transactions that write now to end, for at most so long. Raises SourceInterrupted."""
        kind = " TEMPORARY" if temporary else ""
        result = self._run(
            f"CREATE_REPLICATION_SLOT {quoted(name)}{kind} LOGICAL pgoutput EXPORT_SNAPSHOT", wait_s=wait_s
        )
        return NewSlot(*(bytes(result.get_value(0, column) or b"").decode() for column in (1, 2)))

    def start(self, slot: str, position: str, publication: str) -> None:
        """Begin the copy with the first transaction that ends after the position."""
        self._run(
            f"START_REPLICATION SLOT {quoted(slot)} LOGICAL {position} "
            f"(proto_version '1', publication_names {literal(quoted(publication))})",
            pq.ExecStatus.COPY_BOTH,
        )

    def at_hand(self) -> bytes | Heartbeat | None:
        """The next message's payload, or a heartbeat, if it has come already. Costs no system call."""
        try:
            size, data = self._pg.get_copy_data(1)
            if size < 0:
                self._ended()
        except psycopg.Error as error:
            raise translate(error, self._address, _FOLLOWING) from error
        return self._unpack(data) if size > 0 else None

    def receive(self, timeout_s: float) -> bytes | Heartbeat | None:
        """The next message's payload, or a heartbeat; None where nothing came in time."""
        give_up = time.monotonic() + timeout_s
        with translated(self._address, _FOLLOWING):
            while True:
                size, data = self._pg.get_copy_data(1)
                if size > 0:
                    return self._unpack(data)
                if size < 0:
                    self._ended()
                rest = give_up - time.monotonic()
                if rest < 0:
                    return None
                select.select([self._pg.socket], [], [], rest)
                self._pg.consume_input()

    def acknowledge(self, position: int) -> None:
        """Tell the server that everything up to the position may be let go of."""
        clock = int(time.time() * 1e6) - _MICROS_TO_2000
        with translated(self._address, "confirming a position"):
            self._pg.put_copy_data(_STATUS.pack(b"r", position, position, position, clock, 0))
            self._pg.flush()

    def _unpack(self, data: memoryview) -> bytes | Heartbeat:
        if data[0] == 0x77:  # w: WAL data after its own position, the server's and the server's clock
            return bytes(data[1 + _WAL.size :])
        if data[0] == 0x6B:  # k
            end, clock, reply = _KEEPALIVE.unpack_from(data, 1)
            return Heartbeat(end, clock + _MICROS_TO_2000, bool(reply))
        raise SourceUnreachable(f"PostgreSQL sent a replication message of unknown kind {data[0]:#x}")

    def _ended(self) -> None:
        """The copy is over: say why."""
        result = self._pg.get_result()
        if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
            error = pg_errors.error_from_result(result)
            if isinstance(error, pg_errors.UndefinedObject) and "publication" in str(error):
                raise PositionLost(
                    f"PostgreSQL can't tell the changes after the position: {error}. The publication is younger."
                ) from error
            raise error
        raise psycopg.OperationalError("the server ended the replication; it is shutting down or was promoted")

    def _run(
        self, command: str, expected: pq.ExecStatus = pq.ExecStatus.TUPLES_OK, wait_s: float = CREATE_LIMIT_S
    ) -> Any:
        with translated(self._address, "starting replication"):
            self._pg.send_query(command.encode())
            give_up = time.monotonic() + wait_s
            while self._pg.is_busy():
                select.select([self._pg.socket], [], [], min(0.5, wait_s / 4))
                self._pg.consume_input()
                if self._pg.is_busy() and time.monotonic() > give_up:
                    self._pg.get_cancel().cancel()  # else the server would wait on, with the slot
                    raise SourceInterrupted(
                        "An exact view needs a new replication slot, which waits for transactions that have been "
                        f"writing for more than {wait_s:.0f} s; see pg_stat_activity for the oldest xact_start."
                    )
            result = self._pg.get_result()
            assert result is not None
            if result.status == pq.ExecStatus.FATAL_ERROR:
                raise pg_errors.error_from_result(result)
            if result.status != expected:
                raise psycopg.OperationalError(f"replication was answered with {result.status}")
            while expected is pq.ExecStatus.TUPLES_OK and self._pg.get_result() is not None:
                pass
            return result
