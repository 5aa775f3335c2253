"""MySQL's events, as bytes: what MariaDB never sends is decoded by the format's rules, and nothing is skipped."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reflexdb.model.errors import PositionLost, SourceData, SourceUnreachable
from reflexdb.model.storage import Storage
from reflexdb.sources.changes import Commit, Event, Redefined, Rows, Stale
from reflexdb.sources.mysql.binlog import rowevents
from reflexdb.sources.mysql.binlog.follower import BinlogStream
from reflexdb.sources.mysql.binlog.gtid import FilePosition, GtidSet, parse
from reflexdb.sources.mysql.binlog.transactions import Transactions
from tests.sources.binlog_bytes import (
    SIMPLE,
    SOURCE,
    WHEN,
    event,
    format_description,
    gtid,
    option,
    packed,
    query,
    rotate,
    rows,
    simple_map,
    simple_row,
    string,
    table_map,
    taken,
    transactions,
    watch,
    xid,
)

WRITE, UPDATE, DELETE, PAYLOAD, XA_PREPARE = 30, 31, 32, 40, 38
INSERTED = (gtid(6), query("BEGIN"), simple_map(), rows(WRITE, 2, simple_row(1, "a") + simple_row(2, "é")), xid())


def rows_of(found: list[Event]) -> list[object]:
    return [row for event in found if isinstance(event, Rows) for row in event.rows]


def test_a_transaction_of_mysql_moves_the_gtid_set_and_has_its_time_in_microseconds() -> None:
    stream = transactions(f"{SOURCE}:1-5")
    events = (gtid(6, committed_us=WHEN * 1_000_000 + 123_456), *INSERTED[1:])

    found = list(taken(stream, *events))

    assert rows_of(found) == [(1, "a"), (2, "é")]
    assert found[-1] == Commit(f"{SOURCE}:1-6", datetime.fromtimestamp(WHEN, UTC).replace(microsecond=123_456))


def test_updates_carry_the_key_before_and_the_row_after() -> None:
    stream = transactions(f"{SOURCE}:1-5")
    changed = rows(UPDATE, 2, simple_row(1, "a") + simple_row(9, "b")), rows(DELETE, 2, simple_row(9, "b"))

    found = list(taken(stream, gtid(6), query("BEGIN"), simple_map(), *changed, xid()))

    assert [(e.keys, e.rows) for e in found if isinstance(e, Rows)] == [([(1,)], [(9, "b")]), ([(9,)], [None])]


def test_without_gtids_the_position_is_a_place_in_a_file() -> None:
    stream = transactions("binlog.000001:4")
    anonymous = gtid(0, kind=34)

    found = list(taken(stream, anonymous, *INSERTED[1:-1], xid(end=777), rotate("binlog.000002")))
    found += taken(stream, format_description(), anonymous, query("BEGIN"), xid(end=300))

    assert [e.position for e in found if isinstance(e, Commit)] == ["binlog.000001:777", "binlog.000002:300"]


def test_an_anonymous_transaction_cannot_continue_a_gtid_set() -> None:
    with pytest.raises(SourceData, match="no GTID"):
        list(taken(transactions(f"{SOURCE}:1-5"), gtid(0, kind=34), *INSERTED[1:]))


@pytest.mark.parametrize("method", [0, 255])
def test_a_compressed_transaction_is_read_as_if_its_events_stood_there(method: int) -> None:
    inner = b"".join(one[:9] + (len(one) - 4).to_bytes(4, "little") + one[13:-4] for one in INSERTED[1:])
    content = pa.compress(inner, "zstd", asbytes=True) if method == 0 else inner
    fields = b"\x02" + string(packed(method)) + b"\x03" + string(packed(len(inner))) + b"\x01"
    body = fields + string(packed(len(content))) + b"\x00" + content

    found = list(taken(transactions(f"{SOURCE}:1-5"), gtid(6), event(PAYLOAD, body)))

    assert rows_of(found) == [(1, "a"), (2, "é")]
    assert isinstance(found[-1], Commit)


def test_a_damaged_compressed_transaction_stops_the_stream() -> None:
    content = bytearray(pa.compress(b"".join(INSERTED), "zstd", asbytes=True))
    content[10] ^= 0xFF

    with pytest.raises(SourceData):
        list(taken(transactions(f"{SOURCE}:1-5"), gtid(6), event(PAYLOAD, b"\x00" + bytes(content))))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (event(39, bytes(30)), SourceData),
        (event(42, bytes(30)), SourceData),
        (event(99, b"what is this"), SourceData),
        (event(26, b"\x01\x00\x04lost"), PositionLost),
        (event(30, bytes(20)), SourceData),
        (simple_map()[:-1] + b"\0", SourceUnreachable),
        (event(16, bytes(8), checksum=False), SourceUnreachable),
        (b"short", SourceUnreachable),
    ],
    ids=["partial json", "tagged gtid", "unknown", "incident", "rows of no table", "checksum", "no checksum", "short"],
)
def test_what_is_not_known_or_damaged_stops_the_stream(data: bytes, expected: type[Exception]) -> None:
    stream = transactions(f"{SOURCE}:1-5")

    with pytest.raises(expected):
        list(taken(stream, data))


@pytest.mark.parametrize("data", [event(99, b"new", flags=0x80), event(41, bytes(9)), event(29, b"\x03abc")])
def test_what_may_be_ignored_is(data: bytes) -> None:
    assert list(taken(transactions(f"{SOURCE}:1-5"), data)) == []


XID_TEXT = "X'6162',X'',1"
PREPARE = event(XA_PREPARE, b"\0" + struct.pack("<III", 1, 2, 0) + b"ab")


def test_an_xa_transaction_counts_from_its_commit_on() -> None:
    stream = transactions(f"{SOURCE}:1-5")
    prepared = (gtid(6), query(f"XA START {XID_TEXT}"), *INSERTED[2:4], query(f"XA END {XID_TEXT}"), PREPARE)

    before = list(taken(stream, *prepared))
    after = list(taken(stream, gtid(7), query(f"XA COMMIT {XID_TEXT}")))

    assert [type(e) for e in before] == [Commit]
    assert rows_of(after) == [(1, "a"), (2, "é")]
    assert getattr(after[-1], "position", "") == f"{SOURCE}:1-7"


def test_an_xa_transaction_prepared_before_the_stream_makes_everything_stale() -> None:
    found = list(taken(transactions(f"{SOURCE}:1-5"), gtid(6), query(f"XA COMMIT {XID_TEXT}")))

    assert [type(e) for e in found] == [Stale, Commit]


def test_a_transaction_that_was_logged_and_rolled_back_makes_its_tables_stale() -> None:
    found = list(taken(transactions(f"{SOURCE}:1-5"), *INSERTED[:4], query("ROLLBACK")))

    assert [type(e) for e in found] == [Rows, Stale, Commit]


def test_a_transaction_that_the_server_died_in_never_was() -> None:
    """What of it was handed out is read again with the next one, which it must not become a part of."""
    torn = INSERTED[:4]
    found = list(taken(transactions(f"{SOURCE}:1-5"), *torn, format_description(), *INSERTED))

    assert [type(e) for e in found] == [Rows, Stale, Commit]
    assert getattr(found[-1], "position", "") == f"{SOURCE}:1-6"


def signs(*unsigned: bool) -> bytes:
    bits = sum(0x80 >> index for index, value in enumerate(unsigned) if value)
    return option(1, bytes((bits,)))


def test_mysqls_metadata_counts_columns_by_its_own_rules() -> None:
    """YEAR has no sign and GEOMETRY no character set in MySQL; in MariaDB they have."""
    columns = (("y", Storage.I16, "year"), ("u", Storage.I64, "int unsigned"), ("g", Storage.JSON, "point"),
               ("a", Storage.TEXT, "varchar(9)"), ("b", Storage.TEXT, "varchar(9)"))  # fmt: skip
    metas = b"\x04" + (36).to_bytes(2, "little") + (27).to_bytes(2, "little")
    names = option(4, b"".join(string(name.encode()) for name, *_ in columns))
    kinds = (13, 3, 255, 15, 15)

    mysql = table_map(kinds, metas, signs(True) + option(3, packed(255) + packed(33)) + names)
    maria = table_map(kinds, metas, signs(True, True) + option(3, b"\x3f" + packed(255) + packed(33)) + names)

    for data, is_mariadb in ((mysql, False), (maria, True)):
        stream = transactions(f"{SOURCE}:1-5", watch(columns, mariadb=is_mariadb))
        geometry = bytes(4) + b"\x01\x01\x00\x00\x00" + struct.pack("<dd", 1, 2)
        row = b"\0\x7e\xff\xff\xff\xff" + len(geometry).to_bytes(4, "little") + geometry + b"\x01a\x01b"
        found = list(taken(stream, gtid(6), query("BEGIN"), data, rows(WRITE, 5, row)))
        number = "[1, 2]" if is_mariadb else "[1.0, 2.0]"
        point = f'{{"type": "Point", "coordinates": {number}}}'
        assert rows_of(found) == [(2026, 2**32 - 1, point, "a", "b")]


@pytest.mark.parametrize(
    ("kinds", "metas", "optional"),
    [
        ((8, 15), b"\xa0\x00", b""),
        ((3, 252), b"\x02", b""),
        ((3,), b"", b""),
        ((3, 15), b"\xa0\x00", option(4, string(b"id") + string(b"w"))),
        ((3, 15), b"\xa0\x00", signs(True)),
    ],
    ids=["type", "text", "fewer", "renamed", "unsigned"],
)
def test_a_table_that_is_not_as_planned_is_redefined_and_not_guessed_at(
    kinds: tuple[int, ...], metas: bytes, optional: bytes
) -> None:
    stream = transactions(f"{SOURCE}:1-5")
    data = rows(WRITE, len(kinds), simple_row(1, "a"))

    found = list(taken(stream, gtid(6), query("BEGIN"), table_map(kinds, metas, optional), data, xid()))

    assert [type(e) for e in found] == [Redefined, Commit]


def test_a_value_that_is_no_text_makes_its_table_stale_and_names_its_column() -> None:
    broken = simple_row(1, "a") + b"\0\x02\0\0\0\x02\xc3\x28"
    stream = transactions(f"{SOURCE}:1-5")

    *_, stale, commit = taken(stream, *INSERTED[:3], rows(WRITE, 2, broken), xid())
    assert isinstance(stale, Stale)
    assert "'v' of table 't'" in stale.reason
    assert isinstance(commit, Commit)


def test_a_mistake_of_ours_in_a_row_makes_its_table_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: object) -> None:
        raise KeyError("a value of the row")

    monkeypatch.setattr(rowevents, "singles", mistaken)
    stale, commit = taken(transactions(f"{SOURCE}:1-5"), *INSERTED)
    assert stale == Stale(0, "a change of table 't' in the binary log can't be decoded (KeyError)")
    assert isinstance(commit, Commit)


def test_a_description_that_is_not_understood_makes_its_table_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: object, **__: object) -> None:
        raise ValueError("column type 250 is not known")

    monkeypatch.setattr(rowevents, "table_map", mistaken)
    stale, commit = taken(transactions(f"{SOURCE}:1-5"), *INSERTED)
    assert isinstance(stale, Stale)
    assert "column type 250 is not known" in stale.reason
    assert isinstance(commit, Commit)


class Recorded:
    """A client that has events already."""

    def __init__(self, *data: bytes) -> None:
        self._data = list(data)

    def next(self, timeout_s: float) -> bytes | None:
        return self._data.pop(0) if self._data else None

    def close(self) -> None: ...


def test_what_may_be_in_a_snapshot_of_mysql_already_is_one_transaction_with_what_follows() -> None:
    """MySQL does not tell a snapshot's exact position: up to the end of the log after it, commits do not count."""

    def inserted(number: int, end: int) -> tuple[bytes, ...]:
        return (gtid(number), query("BEGIN"), simple_map(), rows(WRITE, 2, simple_row(number, "a")), xid(end=end))

    made = Transactions(watch(SIMPLE), parse(f"{SOURCE}:1-5"), {})
    data = (*inserted(6, 300), *inserted(7, 600), *inserted(8, 900), *inserted(9, 1200))
    client = Recorded(rotate("binlog.000002"), format_description(), *data)
    stream = BinlogStream(client, made, FilePosition("binlog.000002", 800))  # type: ignore[arg-type]

    found = [event for _ in range(40) if (event := stream.next(0)) is not None]

    assert [e.position for e in found if isinstance(e, Commit)] == [f"{SOURCE}:1-8", f"{SOURCE}:1-9"]
    assert [row[0] for row in rows_of(found)] == [6, 7, 8, 9]  # type: ignore[index]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The event with bytes changed, cut or repeated, and a right checksum, so that it is decoded at all."""
    body = bytearray(data[19:-4])
    change: Callable[[], None] = rng.choice(
        (
            lambda: body.__setitem__(rng.randrange(len(body)), rng.randrange(256)),
            lambda: body.__delitem__(slice(rng.randrange(len(body)), None)),
            lambda: body.extend(body[: rng.randrange(1, 20)]),
            lambda: body.__delitem__(rng.randrange(len(body))),
        )
    )
    for _ in range(rng.randrange(1, 4)):
        if body:
            change()
    kind = data[4] if rng.random() < 0.9 else rng.randrange(256)
    return event(kind, bytes(body))


def test_damaged_events_are_refused_and_nothing_else_happens() -> None:
    kinds = (3, 15, 246, 17, 18, 19, 245, 255, 247, 248, 16)
    columns = (("id", Storage.I32, "int"), ("v", Storage.TEXT, "varchar(40)"), ("d", Storage.DECIMAL, "decimal(10,2)"),
               ("ts", Storage.TIMESTAMP, "timestamp(6)"), ("dt", Storage.DATETIME, "datetime(3)"),
               ("ti", Storage.TIME, "time(2)"), ("j", Storage.JSON, "json"), ("g", Storage.JSON, "geometry"),
               ("e", Storage.ENUM, "enum('a','b')"), ("s", Storage.JSON, "set('x','y')"),
               ("b", Storage.U64, "bit(10)"))  # fmt: skip
    metas = b"\xa0\x00\x0a\x02\x06\x03\x02\x04\x04\xf7\x01\xf8\x01\x02\x01"
    wide = table_map((*kinds[:8], 254, 254, 16), metas)
    document = bytes.fromhex("0001000c000b00010005010061")
    geometry = bytes(4) + b"\x01\x02\x00\x00\x00\x02\x00\x00\x00" + struct.pack("<dddd", 1, 2, 3, 4)
    row = (
        b"\0\0" + struct.pack("<i", 1) + b"\x01a" + b"\x80\x00\x00\x01\x32" + bytes(7) + b"\x99" + bytes(6)
        + b"\x80\x00\x00\x00" + struct.pack("<I", len(document)) + document + struct.pack("<I", len(geometry))
        + geometry + b"\x01\x03\x02\x01"
    )  # fmt: skip
    whole = [gtid(6), query("BEGIN"), wide, rows(WRITE, 11, row), rows(UPDATE, 11, row + row), xid(), PREPARE,
             query("ALTER TABLE t ADD x int"), format_description(), rotate("binlog.000009")]  # fmt: skip
    assert len(rows_of(list(taken(transactions(f"{SOURCE}:1-5", watch(columns)), *whole[:5])))) == 2
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)

    refused = 0
    for _ in range(1500):
        stream = transactions(f"{SOURCE}:1-5", watch(columns))
        try:
            for one in whole:
                list(taken(stream, mutated(one, rng) if rng.random() < 0.3 else one))
        except (SourceData, PositionLost):
            refused += 1

    assert refused > 300


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_a_gtid_set_is_what_was_added_to_it(numbers: list[int]) -> None:
    found = GtidSet()
    for number in numbers:
        found.add(SOURCE, number)

    again = parse(str(found))
    assert again == found
    for number in range(1, 62):
        assert found.contains(GtidSet({SOURCE: [(number, number)]})) == (number in numbers)
    encoded = found.encoded()
    assert encoded[8:24] == UUID(SOURCE).bytes
    ends = struct.unpack(f"<{2 * len(found.done[SOURCE])}Q", encoded[32:])
    assert sum(end - start for start, end in zip(ends[::2], ends[1::2], strict=True)) == len(set(numbers))
