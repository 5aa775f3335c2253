"""pgoutput messages out of bytes: what the documentation's layouts say, and nothing else than Undecodable on anything
else."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexdb.sources.postgres import pgoutput
from reflexdb.sources.postgres.pgoutput import (
    SAME,
    Delete,
    Insert,
    Relation,
    RelationColumn,
    Truncate,
    Undecodable,
    Update,
)
from reflexdb.sources.postgres.replication import format_lsn, parse_lsn


def _values(*values: bytes | pgoutput.Unchanged | None) -> bytes:
    parts = [struct.pack(">H", len(values))]
    for value in values:
        if value is None:
            parts.append(b"n")
        elif isinstance(value, bytes):
            parts.append(b"t" + struct.pack(">I", len(value)) + value)
        else:
            parts.append(b"u")
    return b"".join(parts)


INSERT = b"I" + struct.pack(">I", 7) + b"N" + _values(b"1", None, b"")
UPDATE = b"U" + struct.pack(">I", 7) + b"K" + _values(b"1", None) + b"N" + _values(b"2", SAME)
FULL = b"U" + struct.pack(">I", 7) + b"O" + _values(b"1", b"a") + b"N" + _values(b"1", b"b")
DELETE = b"D" + struct.pack(">I", 7) + b"K" + _values(b"1", None)
RELATION = (
    b"R" + struct.pack(">I", 7) + b"public\0posts\0d" + struct.pack(">H", 2)
    + b"\x01id\0" + struct.pack(">Ii", 23, -1) + b"\x00title\0" + struct.pack(">Ii", 1043, 84)
)  # fmt: skip
TRUNCATE = b"T" + struct.pack(">IBII", 2, 1, 7, 8)
COMMIT = b"C" + struct.pack(">BQQq", 0, 10, 20, 0)
ALL = (INSERT, UPDATE, FULL, DELETE, RELATION, TRUNCATE, COMMIT, b"B" + struct.pack(">QqI", 10, 0, 5))


def test_the_documented_layouts() -> None:
    assert pgoutput.decode(INSERT) == Insert(7, [b"1", None, b""])
    assert pgoutput.decode(UPDATE) == Update(7, [b"1", None], None, [b"2", SAME])
    assert pgoutput.decode(FULL) == Update(7, None, [b"1", b"a"], [b"1", b"b"])
    assert pgoutput.decode(DELETE) == Delete(7, [b"1", None])
    columns = (RelationColumn("id", True, 23, -1), RelationColumn("title", False, 1043, 84))
    assert pgoutput.decode(RELATION) == Relation(7, "public", "posts", "d", columns)
    assert pgoutput.decode(TRUNCATE) == Truncate((7, 8))
    assert pgoutput.decode(COMMIT) == pgoutput.Commit(10, 20, 946_684_800_000_000)


@pytest.mark.parametrize("message", ALL)
def test_a_message_cut_short_is_refused(message: bytes) -> None:
    for end in range(len(message)):
        with pytest.raises(Undecodable):
            pgoutput.decode(message[:end])


@given(st.sampled_from(ALL), st.data())
def test_bytes_changed_anywhere_never_do_more_than_be_refused(message: bytes, data: st.DataObject) -> None:
    changed = bytearray(message)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Undecodable):
        pgoutput.decode(bytes(changed))


@given(st.integers(0, 2**64 - 1))
def test_positions_print_as_the_server_does(lsn: int) -> None:
    assert parse_lsn(format_lsn(lsn)) == lsn
