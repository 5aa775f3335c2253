"""The private socket's language: requests as frames of bytes, replies from bytes. The page is engine/doc/feed.md.

Used by sync to send rows and by the deployer to give orders; `channel` carries the frames. Pure: no sockets, no
clocks. Frames are lists of buffers, so that a column's values go from Arrow's memory to the socket without being
copied. It assumes that batches come in the plan's column order with the types of `sources.base.ARROW_TYPES` and
refuses others; it refuses to know what a snapshot or an instance is.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from reflexdb.model.errors import InstanceUnreachable, MemoryCapExceeded, ReflexError, SourceData, SystemError_

if TYPE_CHECKING:
    import pyarrow as pa

    from reflexdb.model.plan import PlannedTable

PROTOCOL_VERSION = 1
FRAME_BYTES_MAX = 64 * 1024 * 1024
"""Largest length field: kind and body. The server refuses more."""
FRAME_BYTES_WANTED = 4 * 1024 * 1024
"""Batches are cut into frames of about this size, so that neither side holds much; one large row may exceed it."""

Part: TypeAlias = bytes | memoryview
_PREFIX = struct.Struct("<IB")
_COMPACT = json.JSONEncoder(separators=(",", ":"))
"""One for all frames: `json.dumps` with separators makes an encoder for each call."""


class Kind(IntEnum):
    """What a frame is."""

    HELLO = 0x01
    SNAPSHOT_BEGIN = 0x10
    TABLE = 0x11
    TABLE_KEEP = 0x12
    ROWS = 0x13
    SNAPSHOT_COMMIT = 0x14
    SNAPSHOT_ABORT = 0x15
    CONFIRM = 0x16
    CHANGES_BEGIN = 0x20
    CHANGES = 0x21
    CHANGES_COMMIT = 0x22
    CHANGES_ABORT = 0x23
    TABLE_PART = 0x24
    TABLE_KEYS = 0x25
    TABLE_FIND = 0x26
    SYNC_STATUS = 0x30
    KEYS = 0x40
    SERVE = 0x41
    DRAIN = 0x42
    LISTENER = 0x43
    QUERY = 0x44
    STATUS = 0x45
    CONFIGURE = 0x46
    SHAPES = 0x47
    OK = 0x80
    ERROR = 0x81


class Role(IntEnum):
    """Who speaks on a connection."""

    SYNC = 1
    DEPLOYER = 2


class InstanceRefused(SystemError_):
    """The server answered ERROR; `code` is the server's own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; `parts` together are its body."""

    kind: Kind
    parts: tuple[Part, ...] = ()

    def body_bytes(self) -> int:
        return sum(len(part) for part in self.parts)

    def buffers(self) -> list[Part]:
        """What to write to the socket, in order."""
        length = 1 + self.body_bytes()
        assert length <= FRAME_BYTES_MAX, f"{self.kind.name} frame of {length} bytes"
        return [_PREFIX.pack(length, self.kind), *self.parts]

    def encode(self) -> bytes:
        return b"".join(self.buffers())


def hello(role: Role, fingerprint: bytes | None, mode: str = "") -> Frame:
    """The first frame of a connection. `fingerprint` is None where any plan will do, which only a deployer may say.
    `mode` is the sync's: what it commits is known by it."""
    assert fingerprint is not None or role is Role.DEPLOYER
    checked = bytes(32) if fingerprint is None else fingerprint
    assert len(checked) == 32
    name = mode.encode()
    return Frame(Kind.HELLO, (struct.pack("<HB", PROTOCOL_VERSION, role) + checked + bytes([len(name)]) + name,))


def snapshot_begin(taken_at: datetime, position: str) -> Frame:
    return Frame(Kind.SNAPSHOT_BEGIN, (moment(taken_at, position),))


def confirm(taken_at: datetime, position: str) -> Frame:
    return Frame(Kind.CONFIRM, (moment(taken_at, position),))


def table(index: int) -> Frame:
    return Frame(Kind.TABLE, (struct.pack("<I", index),))


def table_keep(index: int) -> Frame:
    return Frame(Kind.TABLE_KEEP, (struct.pack("<I", index),))


def snapshot_commit() -> Frame:
    return Frame(Kind.SNAPSHOT_COMMIT)


def snapshot_abort() -> Frame:
    return Frame(Kind.SNAPSHOT_ABORT)


def sync_status(state: str, mode: str, last_error: str | None, more: Mapping[str, Any] | None = None) -> Frame:
    """`state` is ok, loading, paused or failing."""
    return _json(Kind.SYNC_STATUS, {"state": state, "mode": mode, "lastError": last_error, **(more or {})})


def keys(secret: bytes, expires: Mapping[str, datetime | None]) -> Frame:
    """All keys the server is to accept from now on."""
    listed = [{"keyId": key, "expiresAtMs": _ms(at) if at else None} for key, at in expires.items()]
    return _json(Kind.KEYS, {"secret": secret.hex(), "keys": listed})


def serve() -> Frame:
    return Frame(Kind.SERVE)


def drain(limit_ms: int) -> Frame:
    return Frame(Kind.DRAIN, (struct.pack("<I", limit_ms),))


def listener() -> Frame:
    return Frame(Kind.LISTENER)


def query(text: str) -> Frame:
    return Frame(Kind.QUERY, (text.encode(),))


def status() -> Frame:
    return Frame(Kind.STATUS)


def shapes() -> Frame:
    """What was asked since the last of these."""
    return Frame(Kind.SHAPES)


def configure(log_level: str) -> Frame:
    return _json(Kind.CONFIGURE, {"logLevel": log_level})


SHARE_WHOLE = 1000
"""A share of the new connections is so many of this."""


def share(begin: int, end: int, connection_ms: int) -> Frame:
    """Take the new connections of [begin, end) of SHARE_WHOLE alone, and end those older than `connection_ms` with
    their next answer (0: none)."""
    assert 0 <= begin <= end <= SHARE_WHOLE
    return _json(Kind.CONFIGURE, {"share": {"from": begin, "to": end, "connectionMs": connection_ms}})


def no_checkpoint() -> Frame:
    """The instance's directory is about to go."""
    return _json(Kind.CONFIGURE, {"checkpoint": False})


def rows(index: int, planned: PlannedTable, batch: pa.RecordBatch, wanted: int = FRAME_BYTES_WANTED) -> Iterator[Frame]:
    """The batch as ROWS frames of about `wanted` bytes. Raises SourceData for a row that is over the limit by itself.

    The frames point into the batch's memory and are valid as long as it is.
    """
    from reflexdb.sync.columns import Columns  # here, because those who only give orders do without pyarrow

    columns = Columns(planned, batch)
    pending = [(0, batch.num_rows)] if batch.num_rows else []
    while pending:
        start, count = pending.pop()
        size = 9 + columns.size(start, count)
        if count > 1 and size > wanted:
            half = count // 2
            pending += [(start + half, count - half), (start, half)]
            continue
        if size > FRAME_BYTES_MAX:
            raise SourceData(columns.too_large(start, FRAME_BYTES_MAX))
        yield Frame(Kind.ROWS, (struct.pack("<II", index, count), *columns.encode(start, count)))


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answered."""

    kind: Kind
    body: bytes

    def payload(self) -> bytes:
        """The body of an OK. Raises what the ERROR means: MemoryCapExceeded, SourceData, InstanceRefused."""
        if self.kind is Kind.ERROR:
            raise error_of(self.body)
        return self.body

    def document(self) -> dict[str, Any]:
        """The body of an OK as JSON object; an empty body is the empty object."""
        return _object(self.payload() or b"{}")


class ReplyDecoder:
    """Cuts received bytes into replies. Raises InstanceUnreachable where they are none, as from another program."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> Reply | None:
        """The next whole reply, or None where more bytes are needed."""
        if len(self._buffer) < _PREFIX.size:
            return None
        length, kind = _PREFIX.unpack_from(self._buffer)
        if not 1 <= length <= FRAME_BYTES_MAX or kind not in (Kind.OK, Kind.ERROR):
            raise InstanceUnreachable(
                f"the server's private socket answered what is no reply (kind {kind}, length {length})"
            )
        end = 4 + length
        if len(self._buffer) < end:
            return None
        reply = Reply(Kind(kind), bytes(self._buffer[_PREFIX.size : end]))
        del self._buffer[:end]
        return reply


def error_of(body: bytes) -> ReflexError:
    """The error that an ERROR's body stands for."""
    document = _object(body)
    code, message = str(document.get("error", "internal_error")), str(document.get("message", "no reason given"))
    if code == "cap_exceeded":
        return MemoryCapExceeded(message)
    if code == "invalid_rows":
        return SourceData(message)
    return InstanceRefused(code, message)


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError as exc:
        raise InstanceUnreachable("the server's private socket answered what is no JSON") from exc
    if not isinstance(document, dict):
        raise InstanceUnreachable("the server's private socket answered JSON that is no object")
    return document


def _json(kind: Kind, document: dict[str, Any]) -> Frame:
    return Frame(kind, (_COMPACT.encode(document).encode("ascii"),))


def moment(taken_at: datetime, position: str) -> bytes:
    """Time and position at the source, as several frames carry them."""
    text = position.encode()
    assert len(text) <= 0xFFFF, "a source position is far shorter than 64 KiB"
    return struct.pack("<qH", _ms(taken_at), len(text)) + text


def _ms(moment: datetime) -> int:
    assert moment.tzinfo is not None, "moments are in UTC and say so"
    return int(moment.timestamp() * 1000)
