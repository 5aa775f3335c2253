"""Tells the events of a binary log apart and reads all of them but rows: pure, bytes in, frozen values out.

`split` checks an event's length and its checksum; the functions below it read bodies. An event of a kind that is not
named here and not marked as ignorable must stop the stream: the caller's part. Raises ValueError (Truncated is one) for
bytes that are no event.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import NamedTuple
from uuid import UUID

from reflexdb.sources.mysql.binlog.reader import Reader

HEADER_BYTES = 19
CHECKSUM_BYTES = 4
IGNORABLE = 0x80
ARTIFICIAL = 0x20
_HEADER = Struct("<IBIIIH")
_MARIADB_GTID = Struct("<QIB")


class Kind(IntEnum):
    """Event types that mean something to us, MySQL's and MariaDB's."""

    QUERY = 2
    STOP = 3
    ROTATE = 4
    INTVAR = 5
    APPEND_BLOCK = 9
    DELETE_FILE = 11
    RAND = 13
    USER_VAR = 14
    FORMAT_DESCRIPTION = 15
    XID = 16
    BEGIN_LOAD_QUERY = 17
    EXECUTE_LOAD_QUERY = 18
    TABLE_MAP = 19
    WRITE_ROWS_V1 = 23
    UPDATE_ROWS_V1 = 24
    DELETE_ROWS_V1 = 25
    INCIDENT = 26
    HEARTBEAT = 27
    IGNORABLE = 28
    ROWS_QUERY = 29
    WRITE_ROWS = 30
    UPDATE_ROWS = 31
    DELETE_ROWS = 32
    GTID = 33
    ANONYMOUS_GTID = 34
    PREVIOUS_GTIDS = 35
    TRANSACTION_CONTEXT = 36
    VIEW_CHANGE = 37
    XA_PREPARE = 38
    PARTIAL_UPDATE_ROWS = 39
    TRANSACTION_PAYLOAD = 40
    HEARTBEAT_V2 = 41
    GTID_TAGGED = 42
    ANNOTATE_ROWS = 160
    BINLOG_CHECKPOINT = 161
    MARIADB_GTID = 162
    MARIADB_GTID_LIST = 163
    START_ENCRYPTION = 164
    QUERY_COMPRESSED = 165
    WRITE_ROWS_COMPRESSED_V1 = 166
    UPDATE_ROWS_COMPRESSED_V1 = 167
    DELETE_ROWS_COMPRESSED_V1 = 168
    WRITE_ROWS_COMPRESSED = 169
    UPDATE_ROWS_COMPRESSED = 170
    DELETE_ROWS_COMPRESSED = 171


class Header(NamedTuple):
    when: int
    """Seconds since 1970, by the source's clock; 0 for an event the server made up for us."""
    kind: int
    server_id: int
    size: int
    end: int
    """Where the next event begins in the file, modulo 2^32; 0 for an event that is in no file."""
    flags: int


def header_of(data: bytes) -> Header:
    """The header at the front of an event. Raises ValueError."""
    if len(data) < HEADER_BYTES:
        raise ValueError(f"an event of {len(data)} bytes has no header")
    return Header._make(_HEADER.unpack_from(data))


def split(data: bytes, *, checksum: bool) -> tuple[Header, bytes]:
    """An event's header and its body without the checksum. Raises ValueError where the length or checksum is wrong."""
    header = header_of(data)
    if header.size != len(data):
        raise ValueError(f"an event says it has {header.size} bytes and has {len(data)}")
    if not checksum:
        return header, data[HEADER_BYTES:]
    end = len(data) - CHECKSUM_BYTES
    if end < HEADER_BYTES or zlib.crc32(memoryview(data)[:end]) != int.from_bytes(data[end:], "little"):
        raise ValueError("an event's checksum does not match its bytes")
    return header, data[HEADER_BYTES:end]


def has_valid_checksum(data: bytes) -> bool:
    """Whether the last four bytes are the checksum of the rest."""
    end = len(data) - CHECKSUM_BYTES
    return end >= HEADER_BYTES and zlib.crc32(memoryview(data)[:end]) == int.from_bytes(data[end:], "little")


@dataclass(frozen=True, slots=True)
class Format:
    server_version: str
    checksum: bool
    """Whether the events that follow carry a CRC32."""


def format_description(data: bytes) -> Format:
    """Read a whole FORMAT_DESCRIPTION event, whose last five bytes are the algorithm and a checksum."""
    body = Reader(data, HEADER_BYTES)
    version = body.integer(2)
    server = body.take(50).rstrip(b"\0").decode("ascii", "replace")
    body.take(4)
    if version != 4 or body.integer(1) != HEADER_BYTES:
        raise ValueError(f"the binary log has version {version}; only version 4 is known")
    lengths = body.rest()
    if len(lengths) < 32 + 5:
        raise ValueError("the server is older than MySQL 5.6 or MariaDB 10")
    algorithm = lengths[-5]
    if algorithm not in (0, 1):
        raise ValueError(f"the binary log has checksums of kind {algorithm}; only CRC32 is known")
    return Format(server, algorithm == 1)


@dataclass(frozen=True, slots=True)
class Rotate:
    file: str
    offset: int


def rotate(body: bytes) -> Rotate:
    reader = Reader(body)
    offset = reader.integer(8)
    return Rotate(reader.rest().decode("utf-8", "surrogateescape"), offset)


class MariaGtid(NamedTuple):
    domain: int
    server_id: int
    sequence: int
    standalone: bool
    """The one statement that follows is the whole transaction; no COMMIT comes."""
    prepared_xa: bool
    completed_xa: bool


def mariadb_gtid(header: Header, body: bytes) -> MariaGtid:
    if len(body) < _MARIADB_GTID.size:
        raise ValueError("a GTID is cut short")
    sequence, domain, flags = _MARIADB_GTID.unpack_from(body)
    return MariaGtid(domain, header.server_id, sequence, bool(flags & 1), bool(flags & 64), bool(flags & 128))


@dataclass(frozen=True, slots=True)
class Gtid:
    """A transaction of MySQL: its GTID, or none where GTIDs are off."""

    source: str
    """The server's UUID; of a GTID with a tag, followed by a colon and the tag."""
    number: int
    committed_us: int | None
    """Microseconds since 1970 at the server that committed it first; None before MySQL 8.0.1."""


def gtid(body: bytes) -> Gtid:
    reader = Reader(body)
    reader.take(1)
    source, number = str(UUID(bytes=reader.take(16))), reader.integer(8)
    committed = None
    if reader.left >= 24 and reader.integer(1) == 2:
        reader.take(16)
        immediate = reader.integer(7)
        committed = reader.integer(7) if immediate >> 55 else immediate
    return Gtid(source, number, committed)


def tagged_gtid(body: bytes) -> Gtid:
    """Read a GTID_TAGGED event's body: numbers of fields and their values, in the fields' order."""
    reader = Reader(body)
    if (version := reader.variable()) != 1:
        raise ValueError(f"a GTID with a tag is written in version {version}; only version 1 is known")
    reader.variable()  # the size
    reader.variable()  # the last field that must be known
    fields: dict[int, int] = {}
    source, tag = "", ""
    while reader.left:
        field = reader.variable()
        if field == 1:
            source = str(UUID(bytes=bytes(reader.variable() for _ in range(16))))
        elif field == 3:
            tag = reader.take(reader.variable()).decode("ascii")
        elif field <= 6:
            fields[field] = reader.variable()
        else:
            break
    if not source or 2 not in fields:
        raise ValueError("a GTID with a tag lacks its server or its number")
    zigzag = fields[2]
    number = zigzag >> 1 ^ -(zigzag & 1)
    return Gtid(f"{source}:{tag}" if tag else source, number, fields.get(6))


@dataclass(frozen=True, slots=True)
class Query:
    schema: str
    """The session's default database."""
    statement: str
    ansi_quotes: bool
    backslash_escapes: bool
    client_collation: int | None


_ANSI_QUOTES, _NO_BACKSLASH_ESCAPES = 1 << 2, 1 << 20
_STATUS_SIZES = {0: 4, 1: 8, 3: 4, 4: 6, 7: 2, 8: 2, 9: 8, 10: 4, 13: 3}


def query(body: bytes, *, load: bool = False) -> Query:
    """Read a QUERY event's body; `load` for EXECUTE_LOAD_QUERY, which has the ids of a file in between. The statement
    is in the client's character set; bytes that are no UTF-8 are kept as surrogates.
    """
    reader = Reader(body)
    reader.take(8)
    schema_length = reader.integer(1)
    reader.take(2)
    status_length = reader.integer(2)
    if load:
        reader.take(13)
    mode, collation = _status(reader.take(status_length))
    schema = reader.take(schema_length).decode("utf-8", "surrogateescape")
    reader.take(1)
    statement = reader.rest().decode("utf-8", "surrogateescape")
    return Query(schema, statement, bool(mode & _ANSI_QUOTES), not mode & _NO_BACKSLASH_ESCAPES, collation)


def _status(status: bytes) -> tuple[int, int | None]:
    """SQL mode and client collation from the status variables, which are read up to the first unknown one."""
    reader, mode, collation = Reader(status), 0, None
    while reader.left:
        code = reader.integer(1)
        if code in (2, 5, 6):
            reader.take(reader.integer(1) + (code == 2))
            continue
        if code not in _STATUS_SIZES:
            break
        value = reader.take(_STATUS_SIZES[code])
        if code == 1:
            mode = int.from_bytes(value, "little")
        elif code == 4:
            collation = int.from_bytes(value[:2], "little")
    return mode, collation


@dataclass(frozen=True, slots=True)
class XaPrepare:
    one_phase: bool
    """It is the commit of a transaction that was never prepared."""
    form: int
    name: bytes
    branch: bytes


def xa_prepare(body: bytes) -> XaPrepare:
    reader = Reader(body)
    one_phase = bool(reader.integer(1))
    form, name_length, branch_length = reader.integer(4), reader.integer(4), reader.integer(4)
    return XaPrepare(one_phase, form, reader.take(name_length), reader.take(branch_length))


def inflate(body: bytes, limit: int) -> bytes:
    """The bytes of MariaDB's compressed part. Raises ValueError for more than `limit` bytes."""
    reader = Reader(body)
    first = reader.integer(1)
    if not first & 0x80 or first >> 4 & 7:
        raise ValueError("a compressed event has an unknown algorithm")
    size = int.from_bytes(reader.take(first & 7), "big")
    if size > limit:
        raise ValueError(f"a compressed event has {size:,} bytes; at most {limit:,} are taken")
    try:
        plain = zlib.decompressobj().decompress(reader.rest(), size + 1)
    except zlib.error as error:
        raise ValueError(f"a compressed event is damaged ({error})") from error
    if len(plain) != size:
        raise ValueError("a compressed event does not have the length it promises")
    return plain


def inflated_query(body: bytes, limit: int) -> bytes:
    """A QUERY_COMPRESSED event's body as that of a QUERY event."""
    schema_length, status_length = Reader(body, 8).integer(1), Reader(body, 11).integer(2)
    head = 13 + status_length + schema_length + 1
    return body[:head] + inflate(body[head:], limit)
