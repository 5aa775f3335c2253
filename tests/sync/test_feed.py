"""The encoder against the format's page and against a decoder written from that page alone."""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reflexdb
from reflexdb.model.errors import InstanceUnreachable, MemoryCapExceeded, SourceData
from reflexdb.model.plan import PlannedTable
from reflexdb.model.storage import FIXED_WIDTH, Storage
from reflexdb.sources.base import ARROW_TYPES
from reflexdb.sources.changes import UNCHANGED, Op, Rows
from reflexdb.sync import feed
from reflexdb.sync.change_frames import changes, changes_commit
from tests.sync.decoding import decode_rows
from tests.sync.plans import PEOPLE, column, table

PAGE = Path(reflexdb.__file__).parent / "engine" / "doc" / "feed.md"


def page_examples(heading: str = "## Worked example") -> Iterator[tuple[str, int, bytes]]:
    """Each frame of the page's worked example: its name, the byte count the page claims, its bytes."""
    example = PAGE.read_text("utf-8").split(heading)[1].split("\n## ")[0]
    for name, count, lines in re.findall(r"^    ([A-Z_]+) +(\d+) bytes\n((?:      .*\n)+)", example, re.MULTILINE):
        pairs = [re.match(r"(?:[0-9a-f]{2}(?: |$))+", line.strip()) for line in lines.splitlines()]
        yield name, int(count), bytes.fromhex("".join(pair[0] for pair in pairs if pair))


def example_frames() -> list[feed.Frame]:
    batch = pa.record_batch({"id": pa.array([1, 2, -1], pa.int32()), "name": pa.array(["Zoë", None, ""])})
    return [
        feed.hello(feed.Role.SYNC, bytes(range(32)), "poll"),
        feed.snapshot_begin(datetime(2026, 4, 15, 12, tzinfo=UTC), "p1"),
        feed.table(0),
        *feed.rows(0, PEOPLE, batch),
        feed.snapshot_commit(),
    ]


def test_the_page_shows_the_very_bytes_that_are_sent() -> None:
    *requests, answer = page_examples()
    frames = example_frames()

    assert [name for name, _, _ in requests] == [frame.kind.name for frame in frames]
    assert [data for _, _, data in requests] == [frame.encode() for frame in frames]
    assert all(count == len(data) for _, count, data in [*requests, answer])


def test_the_page_s_reply_is_understood_however_it_is_cut() -> None:
    *_, (_, _, data) = page_examples()
    decoder = feed.ReplyDecoder()
    early = []
    for byte in data[:-1]:
        decoder.feed(bytes([byte]))
        early.append(decoder.next())
    decoder.feed(data[-1:])
    reply = decoder.next()

    assert early == [None] * (len(data) - 1)
    assert reply is not None
    assert reply.document() == {"version": 1}
    assert decoder.next() is None


def decode(planned: PlannedTable, frame: feed.Frame) -> list[tuple[Any, ...]]:
    return decode_rows(planned, frame.encode()[5:])


EVERY = table("every", *(column(f"c{storage}", storage) for storage in Storage))


def values(storage: Storage) -> st.SearchStrategy[Any]:
    match storage:
        case Storage.BOOL:
            return st.booleans()
        case Storage.I16 | Storage.I32 | Storage.I64 | Storage.DATE | Storage.DATETIME | Storage.TIMESTAMP:
            bits = 8 * FIXED_WIDTH[storage] - 1
            return st.integers(-(2**bits), 2**bits - 1)
        case Storage.U64:
            return st.integers(0, 2**64 - 1)
        case Storage.F32 | Storage.F64:
            return st.floats(allow_nan=False, width=32)
        case Storage.UUID:
            return st.binary(min_size=16, max_size=16)
        case Storage.BINARY:
            return st.binary(max_size=20)
        case _:
            return st.text(max_size=20)


ROWS = st.lists(st.tuples(*(st.none() | values(storage) for storage in Storage)), max_size=40)


@given(ROWS, st.integers(0, 12), st.integers(0, 30), st.sampled_from([1, 200, feed.FRAME_BYTES_WANTED]))
def test_every_value_arrives_whatever_slice_of_a_batch_is_sent(
    rows: list[tuple[Any, ...]], skip: int, take: int, wanted: int
) -> None:
    arrays = []
    for i, storage in enumerate(Storage):
        arrow = ARROW_TYPES[storage]
        plain = {Storage.DATE: pa.int32(), Storage.DATETIME: pa.int64(), Storage.TIMESTAMP: pa.int64()}
        arrays.append(pa.array([row[i] for row in rows], plain.get(storage, arrow)).cast(arrow))
    batch = pa.record_batch(arrays, names=[c.name for c in EVERY.columns]).slice(skip, take)
    decoded = [row for frame in feed.rows(0, EVERY, batch, wanted) for row in decode(EVERY, frame)]

    expected = [
        tuple(value.encode() if isinstance(value, str) else value for value in row) for row in rows[skip : skip + take]
    ]
    assert decoded == expected


def test_large_strings_and_uuid_extension_arrays_are_taken_as_well() -> None:
    planned = table("t", column("u", Storage.UUID), column("s", Storage.TEXT), column("d", Storage.DATE))
    key = uuid.UUID(int=7)
    batch = pa.record_batch(
        [
            pa.array([key.bytes, None], pa.uuid()),
            pa.array(["skipped", "left", "right"], pa.large_string())[1:],
            pa.array([date(1970, 1, 2), None]),
        ],
        names=["u", "s", "d"],
    )
    (frame,) = feed.rows(3, planned, batch)

    assert decode(planned, frame) == [(key.bytes, b"left", 1), (None, b"right", None)]


def test_text_is_sent_from_arrow_s_own_memory() -> None:
    text = pa.array(["abc"] * 1000)
    batch = pa.record_batch({"id": pa.array(range(1000), pa.int32()), "name": text})
    (frame,) = feed.rows(0, PEOPLE, batch)
    last = pa.py_buffer(frame.parts[-1])

    assert last.address == text.buffers()[2].address


def test_a_batch_is_cut_so_that_frames_stay_near_the_wanted_size() -> None:
    batch = pa.record_batch({"id": pa.array(range(1000), pa.int32()), "name": pa.array(["x" * 100] * 1000)})
    frames = list(feed.rows(0, PEOPLE, batch, wanted=10_000))

    assert max(frame.body_bytes() for frame in frames) <= 10_000
    assert [row[0] for frame in frames for row in decode(PEOPLE, frame)] == list(range(1000))


def test_a_batch_without_rows_sends_nothing() -> None:
    batch = pa.record_batch({"id": pa.array([], pa.int32()), "name": pa.array([], pa.string())})

    assert list(feed.rows(0, PEOPLE, batch)) == []


def test_a_value_too_large_for_a_frame_is_refused_by_its_column_s_name() -> None:
    batch = pa.record_batch({"id": pa.array([1, 2], pa.int32()), "name": pa.array(["x", "y" * feed.FRAME_BYTES_MAX])})
    frames = feed.rows(0, PEOPLE, batch)
    first = next(frames)

    assert decode(PEOPLE, first) == [(1, b"x")]
    with pytest.raises(SourceData, match=r"table 'people'.*column 'name'"):
        next(frames)


def test_a_value_that_just_fits_a_frame_is_sent() -> None:
    rest = 1 + 8 + (1 + 4) + (1 + 8)
    batch = pa.record_batch({"id": pa.array([1], pa.int32()), "name": pa.array(["y" * (feed.FRAME_BYTES_MAX - rest)])})
    (frame,) = feed.rows(0, PEOPLE, batch)

    assert sum(len(part) for part in frame.buffers()) == 4 + feed.FRAME_BYTES_MAX


def test_a_reader_that_breaks_its_contract_is_told_which_column() -> None:
    wrong = pa.record_batch({"id": pa.array([1], pa.int64()), "name": pa.array(["x"])})
    short = pa.record_batch({"id": pa.array([1], pa.int32())})

    with pytest.raises(TypeError, match=r"column 'id'.*int64.*I32"):
        list(feed.rows(0, PEOPLE, wrong))
    with pytest.raises(TypeError, match="gave 1 columns"):
        list(feed.rows(0, PEOPLE, short))


def reply(body: bytes, kind: int = feed.Kind.ERROR) -> feed.Reply:
    decoder = feed.ReplyDecoder()
    decoder.feed(struct.pack("<IB", 1 + len(body), kind) + body)
    answer = decoder.next()
    assert answer is not None
    return answer


def test_a_refusal_is_raised_as_what_it_means() -> None:
    with pytest.raises(MemoryCapExceeded, match="needs 3"):
        reply(b'{"error":"cap_exceeded","message":"needs 3"}').payload()
    with pytest.raises(SourceData):
        reply(b'{"error":"invalid_rows","message":"row 1"}').payload()
    with pytest.raises(feed.InstanceRefused) as refused:
        reply(b'{"error":"wrong_plan","message":"other"}').payload()
    assert refused.value.code == "wrong_plan"


@pytest.mark.parametrize("data", [b"HTTP/1.1 400", struct.pack("<IB", 0, 0x80), struct.pack("<IB", 1 << 31, 0x80)])
def test_a_peer_that_does_not_speak_the_protocol_is_unreachable(data: bytes) -> None:
    decoder = feed.ReplyDecoder()
    decoder.feed(data)

    with pytest.raises(InstanceUnreachable):
        decoder.next()


def test_orders_carry_what_the_page_says() -> None:
    expires = datetime(2026, 1, 1, tzinfo=UTC)
    keys = feed.keys(b"\x01" * 32, {"a": None, "b": expires})

    assert keys.encode()[5:] == (
        b'{"secret":"' + b"01" * 32 + b'","keys":[{"keyId":"a","expiresAtMs":null},'
        b'{"keyId":"b","expiresAtMs":1767225600000}]}'
    )
    assert feed.drain(1500).encode() == struct.pack("<IBI", 5, 0x42, 1500)
    assert feed.hello(feed.Role.DEPLOYER, None).encode()[8:] == bytes(33)
    assert feed.sync_status("ok", "poll", None).encode()[5:] == b'{"state":"ok","mode":"poll","lastError":null}'


def test_the_pages_example_of_changes_is_what_is_sent() -> None:
    rows = Rows(0, [Op.UPDATE], [(5,)], [(5, UNCHANGED)])
    frames = [*changes(PEOPLE, rows), changes_commit(datetime(2026, 4, 15, 12, tzinfo=UTC), "p2")]
    examples = list(page_examples("## Changes"))

    assert examples == [(frame.kind.name, len(frame.encode()), frame.encode()) for frame in frames]


def test_many_changes_are_cut_and_a_value_of_another_type_is_named() -> None:
    rows = Rows(0, [Op.INSERT] * 500, [None] * 500, [(n, "x" * 100) for n in range(500)])
    frames = list(changes(PEOPLE, rows, 2000))

    assert max(frame.body_bytes() for frame in frames) < 2000
    assert sum(struct.unpack_from("<II", bytes(frame.parts[0]))[1] for frame in frames) == 500
    with pytest.raises(SourceData, match="'people' has a value in column 'id'"):
        list(changes(PEOPLE, Rows(0, [Op.INSERT], [None], [("one", None)])))
