"""The messages of PostgreSQL's logical replication plugin `pgoutput`, protocol version 1, out of their bytes.

From the documentation of PostgreSQL, "Logical Replication Message Formats". Values stay as the bytes the server sent:
which of them matter, and what they mean, the caller knows. Every byte is checked for being there; what is not
understood raises Undecodable.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_MICROS_TO_2000 = 946_684_800_000_000
_U16 = struct.Struct(">H")
_I32 = struct.Struct(">i")
_U32 = struct.Struct(">I")
_BEGIN = struct.Struct(">QqI")
_COMMIT = struct.Struct(">BQQq")


class Undecodable(Exception):
    """The message is not what the protocol's first version allows."""


class Unchanged:
    """The type of the mark for a large value that an update left as it was."""


SAME: Final = Unchanged()
Value = bytes | None | Unchanged
Tuple = list[Value]


@dataclass(frozen=True, slots=True)
class Begin:
    commit_lsn: int


@dataclass(frozen=True, slots=True)
class Commit:
    commit_lsn: int
    """As the transaction's Begin said."""
    end_lsn: int
    clock_us: int
    """When it was committed, microseconds since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class RelationColumn:
    name: str
    is_key: bool
    """Part of the replica identity."""
    type_oid: int
    type_modifier: int


@dataclass(frozen=True, slots=True)
class Relation:
    oid: int
    namespace: str
    name: str
    identity: str
    """Replica identity: d default, n nothing, f full, i an index."""
    columns: tuple[RelationColumn, ...]


@dataclass(frozen=True, slots=True)
class Insert:
    relation: int
    new: Tuple


@dataclass(frozen=True, slots=True)
class Update:
    relation: int
    key: Tuple | None
    """The old key's columns, the others null: sent where the key changed."""
    old: Tuple | None
    """The whole old row: sent where the identity is full."""
    new: Tuple


@dataclass(frozen=True, slots=True)
class Delete:
    relation: int
    old: Tuple
    """The key's columns, or all of them where the identity is full."""


@dataclass(frozen=True, slots=True)
class Truncate:
    relations: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Other:
    """A message that changes nothing: an origin, a type's name, a logical message."""


Message = Begin | Commit | Relation | Insert | Update | Delete | Truncate | Other


def decode(data: bytes) -> Message:
    """One message, whole. Raises Undecodable."""
    try:
        return _DECODERS[data[0]](data)
    except KeyError:
        raise Undecodable(f"a message of unknown kind {data[:1]!r}") from None
    except (struct.error, IndexError, UnicodeDecodeError):
        raise Undecodable(f"a message of kind {data[:1]!r} that ends too soon or is malformed") from None


def _begin(data: bytes) -> Begin:
    return Begin(_BEGIN.unpack_from(data, 1)[0])


def _commit(data: bytes) -> Commit:
    _, commit, end, clock = _COMMIT.unpack_from(data, 1)
    return Commit(commit, end, clock + _MICROS_TO_2000)


def _relation(data: bytes) -> Relation:
    oid = _U32.unpack_from(data, 1)[0]
    namespace, at = _text(data, 5)
    name, at = _text(data, at)
    identity = chr(data[at])
    count = _U16.unpack_from(data, at + 1)[0]
    at += 3
    columns = []
    for _ in range(count):
        flags = data[at]
        column, at = _text(data, at + 1)
        columns.append(
            RelationColumn(column, bool(flags & 1), _U32.unpack_from(data, at)[0], _I32.unpack_from(data, at + 4)[0])
        )
        at += 8
    return Relation(oid, namespace or "pg_catalog", name, identity, tuple(columns))


def _insert(data: bytes) -> Insert:
    if data[5] != 0x4E:
        raise Undecodable("an insert without a new row")
    new, _ = _tuple(data, 6)
    return Insert(_U32.unpack_from(data, 1)[0], new)


def _update(data: bytes) -> Update:
    key = old = None
    at = 5
    if data[at] == 0x4B:  # K
        key, at = _tuple(data, at + 1)
    elif data[at] == 0x4F:  # O
        old, at = _tuple(data, at + 1)
    if data[at] != 0x4E:
        raise Undecodable("an update without a new row")
    new, _ = _tuple(data, at + 1)
    return Update(_U32.unpack_from(data, 1)[0], key, old, new)


def _delete(data: bytes) -> Delete:
    if data[5] not in (0x4B, 0x4F):
        raise Undecodable("a delete without an old row")
    old, _ = _tuple(data, 6)
    return Delete(_U32.unpack_from(data, 1)[0], old)


def _truncate(data: bytes) -> Truncate:
    count = _U32.unpack_from(data, 1)[0]
    if len(data) != 6 + 4 * count:
        raise Undecodable("a truncate of another length than its relations")
    return Truncate(struct.unpack_from(f">{count}I", data, 6))


def _other(data: bytes) -> Other:  # noqa: ARG001 - one of the decoders
    return Other()


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.find(b"\0", at)
    if end < 0:
        raise IndexError
    return data[at:end].decode(), end + 1


def _tuple(data: bytes, at: int) -> tuple[Tuple, int]:
    count = _U16.unpack_from(data, at)[0]
    at += 2
    values: Tuple = []
    for _ in range(count):
        kind = data[at]
        at += 1
        if kind == 0x74:  # t
            size = _U32.unpack_from(data, at)[0]
            at += 4
            if at + size > len(data):
                raise IndexError
            values.append(data[at : at + size])
            at += size
        elif kind == 0x6E:  # n
            values.append(None)
        elif kind == 0x75:  # u
            values.append(SAME)
        else:
            raise Undecodable(f"a value of unknown kind {kind:#x}")
    return values, at


_DECODERS: dict[int, Callable[[bytes], Message]] = {
    ord("B"): _begin,
    ord("C"): _commit,
    ord("R"): _relation,
    ord("I"): _insert,
    ord("U"): _update,
    ord("D"): _delete,
    ord("T"): _truncate,
    ord("O"): _other,
    ord("Y"): _other,
    ord("M"): _other,
}
