"""What a poll sends, with a source that says exactly what the case needs."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from reflexdb.model.errors import MemoryCapExceeded, SourceData, SourceUnreachable
from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.model.schema import Backend, SourceSchema
from reflexdb.model.storage import Storage
from reflexdb.sources.base import TestResult
from reflexdb.sync import commands, feed
from reflexdb.sync.channel import PrivateChannel
from reflexdb.sync.drift import drift
from reflexdb.sync.mode import Interrupted
from reflexdb.sync.orders import Orders
from reflexdb.sync.poll import Poll
from reflexdb.sync.served import NOTHING, Content, Served
from reflexdb.sync.spool import Spool
from tests.sync.feed_server import FeedServer
from tests.sync.plans import PEOPLE, column, plan, table

NUMBERS = table("numbers", column("n", Storage.I64))
PLAN = plan(PEOPLE, NUMBERS)


@dataclass
class Scripted:
    """A source whose rows, tokens and failures are set by the test."""

    rows: dict[str, list[tuple[Any, ...]]] = field(
        default_factory=lambda: {"people": [(1, "Ada")], "numbers": [(5,), (6,)]}
    )
    tokens: dict[str, str] = field(default_factory=dict)
    failure: Exception | None = None
    read_tables: list[str] = field(default_factory=list)
    opened: int = 0
    position: str = "p"
    taken_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def open(self) -> Scripted:
        self.opened += 1
        return self

    @contextmanager
    def snapshot(self, _: Plan) -> Iterator[Scripted]:
        yield self

    def change_token(self, planned: PlannedTable) -> str | None:
        return self.tokens.get(planned.name)

    def read(self, planned: PlannedTable) -> Iterator[pa.RecordBatch]:
        self.read_tables.append(planned.name)
        types = {"people": [pa.int32(), pa.string()], "numbers": [pa.int64()]}[planned.name]
        columns = list(zip(*self.rows[planned.name], strict=True))
        arrays = [pa.array(values, kind) for values, kind in zip(columns, types, strict=True)]
        yield pa.record_batch(arrays, names=[c.name for c in planned.columns])
        if self.failure is not None and planned.name == "numbers":
            raise self.failure

    def test(self) -> TestResult:
        raise AssertionError("must not be called")

    def introspect(self, schema: str) -> SourceSchema:
        raise SourceUnreachable("not now")

    def close(self) -> None: ...


@dataclass
class Bench:
    source: Scripted
    server: FeedServer
    channel: PrivateChannel
    poll: Poll

    def refresh(self, thorough: bool = False) -> int | None:
        self.source.read_tables.clear()
        return self.poll.refresh(self.channel, lambda: True, thorough)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    source = Scripted()
    server = FeedServer(tmp_path, PLAN)
    with PrivateChannel(tmp_path) as channel:
        channel.hello(feed.Role.SYNC, PLAN.fingerprint())
        poll = Poll(PLAN, source.open, tmp_path)
        poll.load(channel, lambda: True)
        yield Bench(source, server, channel, poll)
    server.close()


def test_a_table_whose_token_is_the_same_is_not_even_read(bench: Bench) -> None:
    bench.source.tokens = {"people": "1", "numbers": "1"}
    bench.refresh()
    bench.source.tokens["numbers"] = "2"
    bench.source.rows["numbers"].append((7,))
    version = bench.refresh()

    assert bench.source.read_tables == ["numbers"]
    assert version == 2
    assert bench.server.tables[1] == [(5,), (6,), (7,)]
    assert bench.server.kept[-1] == [0]


def test_a_token_that_differs_over_equal_rows_costs_no_swap(bench: Bench) -> None:
    bench.source.tokens = {"people": "1", "numbers": "1"}
    version = bench.refresh()

    assert version is None
    assert bench.server.confirms == 1
    assert bench.server.version == 1


def test_a_thorough_refresh_finds_what_a_token_hid(bench: Bench) -> None:
    bench.source.tokens = {"people": "1", "numbers": "1"}
    bench.refresh()
    bench.source.rows["people"] = [(1, "Eve")]
    trusting, thorough = bench.refresh(), bench.refresh(thorough=True)

    assert trusting is None
    assert thorough == 2
    assert bench.server.tables[0] == [(1, b"Eve")]


def test_a_failure_in_mid_table_leaves_its_old_rows_alone(bench: Bench) -> None:
    bench.source.rows = {"people": [(2, "New")], "numbers": [(9,)]}
    bench.source.failure = SourceData("row 3 of numbers is no number")
    bench.refresh()
    after = (bench.server.version, dict(bench.server.tables))
    told, problem = bench.poll.status(), bench.poll.problem()
    bench.source.failure = None
    bench.poll._troubles.at_once()
    version = bench.refresh()

    assert after == (2, {0: [(2, b"New")], 1: [(5,), (6,)]})
    assert told["frozen"] == [1]
    assert (told["tables"][0]["table"], told["tables"][0]["state"]) == ("numbers", "frozen")
    assert told["tables"][0]["reason"] == "source_data: row 3 of numbers is no number"
    assert problem is not None
    assert problem.code == "source_data"
    assert version == 3
    assert bench.server.tables == {0: [(2, b"New")], 1: [(9,)]}
    assert (bench.poll.status(), bench.poll.problem()) == ({"tables": [], "frozen": []}, None)


def test_a_table_in_trouble_rests_before_it_is_read_again(bench: Bench) -> None:
    bench.source.failure = SourceData("row 3 of numbers is no number")
    bench.refresh()
    bench.refresh()

    assert bench.source.read_tables == ["people"]


def test_a_table_at_which_the_connection_is_lost_again_and_again_is_left_out(bench: Bench) -> None:
    bench.source.rows["people"] = [(2, "New")]
    bench.source.failure = SourceUnreachable("the backend crashed")
    for _ in range(3):
        with pytest.raises(SourceUnreachable):
            bench.refresh()
    version = bench.refresh()

    assert version == 2
    assert bench.server.tables[0] == [(2, b"New")]
    assert bench.poll.status()["frozen"] == [1]


def test_a_table_whose_first_rows_can_not_be_read_is_named(bench: Bench) -> None:
    bench.source.failure = SourceData("row 3 of numbers is no number")
    bench.poll._content = NOTHING
    with pytest.raises(SourceData, match="numbers"):
        bench.poll.load(bench.channel, lambda: True)


def test_an_order_in_the_middle_leaves_nothing_half_done(bench: Bench) -> None:
    bench.source.rows["people"] = [(2, "New")]
    answers = iter([True, False])
    with pytest.raises(Interrupted):
        bench.poll.refresh(bench.channel, lambda: next(answers), thorough=False)
    version = bench.refresh()

    assert version == 2
    assert bench.server.tables[0] == [(2, b"New")]


def test_after_a_refused_commit_the_next_one_is_made_even_where_nothing_changed(bench: Bench) -> None:
    """The source went back to what is served; only a commit tells the server that the refusal is history."""
    bench.server.refuse_commit = ("cap_exceeded", "needs 12 MB of 10 MB")
    bench.source.rows["numbers"].append((7,))
    with pytest.raises(MemoryCapExceeded):
        bench.refresh()
    bench.server.refuse_commit = None
    bench.source.rows["numbers"].pop()
    versions = [bench.refresh(), bench.refresh()]

    assert versions == [2, None]
    assert bench.server.kept[-1] == [0, 1]


def test_a_server_that_lost_everything_gets_everything(bench: Bench) -> None:
    bench.poll.forget()
    version = bench.refresh()

    assert version == 2
    assert bench.server.kept == [[], []]


def test_a_spooled_table_comes_out_as_it_went_in_also_from_a_file(tmp_path: Path) -> None:
    batch = pa.record_batch({"id": pa.array(range(1000), pa.int32()), "name": pa.array(["x" * 50] * 1000)})
    frames = list(feed.rows(0, PEOPLE, batch, wanted=5000))
    with Spool(tmp_path, memory_bytes=1000) as spool:
        for frame in frames:
            spool.add(frame)
        out = b"".join(spool.chunks())

    assert out == b"".join(frame.encode() for frame in frames)
    assert list(tmp_path.iterdir()) == []


def test_a_new_column_or_table_at_the_source_is_no_drift() -> None:
    from reflexdb.model.schema import SourceColumn, SourceTable

    def of(name: str, *columns: tuple[str, Storage]) -> SourceTable:
        shown = tuple(SourceColumn(n, s.name, s, True) for n, s in columns)
        return SourceTable(name, shown, primary_key=tuple(n for n, _ in columns[:1] if n in ("id", "n")))

    people = of("people", ("id", Storage.I32), ("name", Storage.TEXT), ("more", Storage.TEXT))
    numbers = of("numbers", ("n", Storage.I64))
    same = SourceSchema(Backend.SQLITE, "main", "3", (numbers, of("other"), people))
    narrower = SourceSchema(Backend.SQLITE, "main", "3", (of("numbers", ("n", Storage.TEXT)), people))

    assert drift(PLAN, same) == []
    assert drift(PLAN, narrower) == ["column 'n' of table 'numbers' was i64 and is now TEXT"]


@contextmanager
def former(directory: Path, known: dict[str, Any] | None) -> Iterator[Path]:
    """A sync process of another instance, as far as it is asked what it knows."""
    directory.mkdir()
    listening = commands.listen(directory)

    def serve() -> None:
        with suppress(OSError):
            commands.serve(listening, Orders(directory), lambda: known)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield directory
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        listening.close()


class Watched(Scripted):
    """One that can say whether anything was committed."""

    now = "1"

    def state(self) -> str | None:
        return self.now


RESTORED = Served(Content("p1", 1), "here", "poll", True)


def read_by_a_new_one(bench: Bench, known: dict[str, Any] | None, tmp_path: Path) -> list[str]:
    source = Watched(tokens={"people": "1", "numbers": "1"})
    with former(tmp_path / "former", known) as directory:
        poll = Poll(PLAN, source.open, tmp_path, former=directory)
        poll.found(RESTORED)
    poll.refresh(bench.channel, lambda: True, thorough=False)
    return source.read_tables


def told(source: Watched, bench: Bench, tmp_path: Path) -> Any:
    """What one that has read everything says."""
    poll = Poll(PLAN, source.open, tmp_path)
    bench.server.version = 0
    poll.load(bench.channel, lambda: True)
    return json.loads(json.dumps(poll.known()))


def test_what_the_former_instance_knows_of_the_same_snapshot_is_not_read_again(bench: Bench, tmp_path: Path) -> None:
    known = told(Watched(tokens={"people": "1", "numbers": "1"}), bench, tmp_path)

    assert read_by_a_new_one(bench, known, tmp_path) == []
    assert bench.server.confirms == 1


def test_what_may_have_changed_since_is_read_and_compared(bench: Bench, tmp_path: Path) -> None:
    source = Watched(tokens={"people": "1", "numbers": "0"})
    known = told(source, bench, tmp_path)

    assert read_by_a_new_one(bench, known, tmp_path) == ["numbers"]
    assert bench.server.confirms == 1


@pytest.mark.parametrize("change", ["state", "version", "tables", "another shape", "nothing known"])
def test_what_is_not_certain_is_read(bench: Bench, tmp_path: Path, change: str) -> None:
    source = Watched(tokens={"people": "1", "numbers": "1"})
    known = told(source, bench, tmp_path)
    if change == "state":
        known["tables"] = [table | {"unchanged": False} for table in known["tables"]]
    if change == "version":
        known["version"] = 2
    if change == "tables":
        known["tables"].pop()
    if change == "another shape":
        known["tables"] = ["people", "numbers"]

    assert read_by_a_new_one(bench, None if change == "nothing known" else known, tmp_path) == ["people", "numbers"]


def test_a_commit_after_the_last_reading_is_told(bench: Bench, tmp_path: Path) -> None:
    source = Watched(tokens={"people": "1", "numbers": "1"})
    poll = Poll(PLAN, source.open, tmp_path)
    poll.load(bench.channel, lambda: True)
    before = poll.known()
    source.now = "2"
    after = poll.known()
    poll.forget()

    assert [[table["unchanged"] for table in known["tables"]] for known in (before, after) if known] == [
        [True, True],
        [False, False],
    ]
    assert poll.known() is None
