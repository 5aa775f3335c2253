"""Makes the saved inputs of the fuzz targets, from what the engine's tests send: `python -m tests.fuzz.corpus`.

What a fuzzer finds is added beside them under its own name and stays; this rewrites only what it made itself.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from reflexdb.sync import feed
from reflexdb.sync.change_frames import changes, changes_begin, changes_commit, table_find, table_keys, table_part
from tests.engine import harness
from tests.engine.changing import Model
from tests.engine.harness import bodies
from tests.engine.plans import PLAN
from tests.engine.test_checkpoint import HEAD_BYTES, block_heads, block_size, content_at
from tests.engine.test_hostile import QUERIES
from tests.engine.test_http_parser import ACCEPTED, CHUNKED, REFUSED, REFUSED_CHUNKS
from tests.engine.test_language import WORLD

CORPUS = Path(__file__).with_name("corpus")
ROWS = CORPUS / "feed" / "rows.input"
COMPILED = Path(__file__).parents[2] / ".pytest_cache" / "d" / "engine"
"""Pytest's, where the driver is likely to be."""
LONGEST = 5_000
MOMENT = datetime(2026, 4, 15, 12, tzinfo=UTC)
MORE_QUERIES = (
    "users { * }",
    "{ users(id = 1) { name } all: posts { count() } }",
    "posts(GROUP BY user_id HAVING count() > 1) { user_id count() sum(views) avg(price) }",
    "users(posts.count() > 1 ORDER BY posts.max(views) DESC LIMIT 2) { id posts(ORDER BY views LIMIT 1) { id } }",
    "users(id = $a OR name = $b LIMIT $a) { id }",
    "kinds(decimal > 1.5 AND uuid != '00112233-4455-6677-8899-aabbccddeeff' AND date < '2026-01-01') { id }",
    "users(AFTER 'x' LIMIT 2) { id }",
)


def http() -> Iterator[tuple[str, bytes]]:
    """The first byte says how an input is cut."""
    for name, (data, _) in {**REFUSED, **ACCEPTED}.items():
        yield name, b"\x03" + data
    for name, (data, _) in REFUSED_CHUNKS.items():
        yield f"chunk {name}", b"\x02" + CHUNKED + data


def query() -> Iterator[tuple[str, bytes]]:
    for number, text in enumerate((*QUERIES, *MORE_QUERIES)):
        yield f"query {number}", text.encode()


def feed_frames() -> Iterator[tuple[str, bytes]]:
    yield "rows", snapshot()
    model = Model(random.Random(4))
    for table in (0, 1):
        for row in WORLD[PLAN.tables[table].name]:
            model.insert(table, row)
    frames = [changes_begin(1)]
    for rows in model.log:
        frames += changes(PLAN.tables[rows.table], rows)
    frames.append(changes_commit(MOMENT, "p2"))
    yield "changes", snapshot(()) + b"".join(frame.encode() for frame in frames)
    part = [changes_begin(1), table_part(0, [(1, 2), (4, 9)])]
    part += [feed.Frame(feed.Kind.ROWS, (body,)) for body in bodies(PLAN, 0, [{"id": 2, "name": "x"}, {"id": 9}])]
    part.append(changes_commit(MOMENT, "p2"))
    yield "part", snapshot() + b"".join(frame.encode() for frame in part)
    users = PLAN.tables[0]
    keys = [changes_begin(1), table_find(0, users, [5], [(1,), (2,)], [0, 1], 9), table_keys(0, users, [(1,), (77,)])]
    keys += [feed.Frame(feed.Kind.ROWS, (body,)) for body in bodies(PLAN, 0, [{"id": 77, "name": "x"}])]
    keys.append(changes_commit(MOMENT, "p2"))
    yield "keys", snapshot() + b"".join(frame.encode() for frame in keys)
    yield "hello", feed.hello(feed.Role.SYNC, PLAN.fingerprint()).encode() + feed.confirm(MOMENT, "p").encode()


def checkpoints() -> Iterator[tuple[str, bytes]]:
    """Content of blocks; and blocks, which end where the first one's sum is another file's."""
    with tempfile.TemporaryDirectory() as folder:
        COMPILED.mkdir(parents=True, exist_ok=True)
        program = harness.build(PLAN, COMPILED)
        for name, most in (("nothing", 0), ("few rows", 3)):
            cli = harness.Cli(program, PLAN)
            cli.load({table: rows[:most] for table, rows in WORLD.items()})
            path = Path(folder) / "file"
            cli.do("S", str(path).encode())
            cli.close()
            data = path.read_bytes()
            yield name, b"\1" + content(data)
            if not most:
                yield f"{name} as blocks", b"\0" + data[HEAD_BYTES:]


def content(data: bytes) -> bytes:
    return b"".join(data[content_at(at) : content_at(at) + block_size(data, at)] for at in block_heads(data))


def snapshot(names: tuple[str, ...] = tuple(WORLD)) -> bytes:
    frames = [feed.snapshot_begin(MOMENT, "p1")]
    for index, table in enumerate(PLAN.tables):
        frames.append(feed.table(index))
        if table.name in names:
            frames += [feed.Frame(feed.Kind.ROWS, (body,)) for body in bodies(PLAN, index, WORLD[table.name])]
    return b"".join(frame.encode() for frame in [*frames, feed.snapshot_commit()])


def write() -> None:
    for kind, inputs in (("http", http()), ("query", query()), ("feed", feed_frames()), ("checkpoint", checkpoints())):
        (CORPUS / kind).mkdir(parents=True, exist_ok=True)
        for name, data in inputs:
            if len(data) <= LONGEST or kind == "checkpoint":
                (CORPUS / kind / (name.replace(" ", "-").replace("/", "-") + ".input")).write_bytes(data)


if __name__ == "__main__":
    write()
