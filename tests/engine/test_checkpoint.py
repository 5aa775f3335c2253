"""A snapshot written to a file and read back is that snapshot; a file that was changed is refused."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.changing import Model, answers, apply
from tests.engine.harness import Cli
from tests.engine.plans import PLAN, USERS

pytestmark = pytest.mark.timeout(1200)

HEAD_BYTES, BLOCK_HEAD_BYTES, ALIGN, OWN_BLOCK_BYTES = 80, 32, 64, 65_536


def content_at(block: int) -> int:
    """Where the content of a block begins whose head is there."""
    return -(-(block + BLOCK_HEAD_BYTES) // ALIGN) * ALIGN


def block_heads(data: bytes) -> Iterator[int]:
    at = HEAD_BYTES
    while at < len(data):
        yield at
        at = content_at(at) + block_size(data, at)


def block_size(data: bytes, block: int) -> int:
    (size,) = struct.unpack_from("<Q", data, block)
    return int(size)


def people() -> Model:
    """So many that texts and where they stand are arrays with blocks of their own."""
    model = Model(random.Random(11))
    for number in range(17_000):
        model.insert(USERS, model.fresh(USERS, 4_000) | {"id": number, "name": f"name {number}"})
    model.take_log()
    return model


def open_file(cli: Cli, path: Path, cap: int = 0) -> tuple[int, str]:
    status, answer = cli.order("O", struct.pack("<Q", cap) + str(path).encode())
    return status, answer.decode()


def saved(cli: Cli, path: Path) -> Path:
    cli.do("S", str(path).encode())
    return path


def changed(cli: Cli, seed: int, keys: int, groups: int) -> Model:
    """A snapshot after a load and changes: deleted rows, reused numbers, rows in between, orphans."""
    model = Model(random.Random(seed))
    for _ in range(model.dice.choice([0, 30, 120])):
        model.change(keys)
    model.take_log()
    cli.load(model.listed())
    for _ in range(groups):
        for _ in range(model.dice.choice([1, 5, 60])):
            model.change(keys)
        apply(cli, model.take_log())
    return model


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.sampled_from([6, 25, 200]), st.integers(0, 5))
def test_what_is_loaded_equals_what_was_written_and_goes_on_as_it_would_have(
    cli: Cli, program: Path, tmp_path: Path, seed: int, keys: int, groups: int
) -> None:
    model = changed(cli, seed, keys, groups)
    path = saved(cli, tmp_path / "c")
    other = Cli(program, PLAN)
    try:
        assert open_file(other, path) == (0, "")
        assert answers(other) == answers(cli)
        mine, theirs = cli.facts(), other.facts()
        assert [theirs[name] for name in ("version", "position", "rows")] == [
            mine[name] for name in ("version", "position", "rows")
        ]
        for _ in range(4):
            for _ in range(model.dice.choice([1, 5, 60])):
                model.change(keys)
            log = model.take_log()
            apply(cli, log)
            apply(other, log)

            assert answers(other) == answers(cli)
    finally:
        other.close()


@pytest.fixture
def long(cli: Cli) -> dict[str, list[dict[str, object]]]:
    """Rows of several chunks and blocks."""
    rows: dict[str, list[dict[str, object]]] = {
        "users": [{"id": 2 * i, "name": f"n{i}", "boss_id": i} for i in range(70_000)],
        "posts": [{"id": i, "user_id": i * 3, "title": "x" * (i % 90)} for i in range(30_000)],
    }
    cli.load(rows)
    return rows


LONG_QUERIES = (
    "users { count() sum(boss_id) max(name) }",
    "posts { count() sum(user_id) max(title) }",
    "users(id IN (0, 2, 139998, 7)) { * boss { id } posts { id } }",
    "posts(id > 29990) { * user { name } }",
    "users(boss.boss.id = 40) { id }",
)


def test_rows_of_several_chunks_and_blocks_come_back(
    cli: Cli, program: Path, tmp_path: Path, long: dict[str, list[dict[str, object]]]
) -> None:
    path = saved(cli, tmp_path / "c")
    other = Cli(program, PLAN)
    try:
        assert open_file(other, path)[0] == 0
        assert path.stat().st_size > 4 << 20
        for query in LONG_QUERIES:
            assert other.rows(query) == cli.rows(query), query
    finally:
        other.close()


def test_what_stays_in_the_file_is_changed_and_written_again_like_any_other(
    cli: Cli, program: Path, tmp_path: Path
) -> None:
    model = people()
    cli.load(model.listed())
    path = saved(cli, tmp_path / "c")
    data = path.read_bytes()
    other = Cli(program, PLAN)
    try:
        assert open_file(other, path)[0] == 0
        assert sum(block_size(data, block) >= OWN_BLOCK_BYTES for block in block_heads(data)) > 2
        assert saved(other, tmp_path / "again").read_bytes() == data
        path.unlink()
        for _ in range(3):
            for _ in range(200):
                model.change(9_500)
            log = model.take_log()
            apply(cli, log)
            apply(other, log)

            assert answers(other) == answers(cli)
        assert saved(other, tmp_path / "b").read_bytes() == saved(cli, tmp_path / "a").read_bytes()
    finally:
        other.close()


def test_an_empty_snapshot_comes_back(cli: Cli, tmp_path: Path) -> None:
    cli.load({})
    assert open_file(cli, saved(cli, tmp_path / "c")) == (0, "")
    assert cli.rows("users { id }") == []


def test_the_same_snapshot_gives_the_same_bytes(cli: Cli, program: Path, tmp_path: Path) -> None:
    changed(cli, 5, 25, 4)
    first = saved(cli, tmp_path / "a").read_bytes()
    other = Cli(program, PLAN)
    try:
        open_file(other, tmp_path / "a")
        again = saved(other, tmp_path / "b").read_bytes()
    finally:
        other.close()

    assert saved(cli, tmp_path / "c").read_bytes() == first
    assert open_file(cli, tmp_path / "b")[0] == 0
    assert len(again) > HEAD_BYTES


def test_a_checkpoint_over_the_memory_cap_is_refused_by_name(cli: Cli, tmp_path: Path) -> None:
    changed(cli, 5, 200, 1)
    status, answer = open_file(cli, saved(cli, tmp_path / "c"), cap=5_000)
    assert status == 1
    assert answer.startswith("cap_exceeded")


HEADS = {
    "no checkpoint": (0, b"SQLite f"),
    "another order of bytes": (8, bytes([1, 2, 3, 4])),
    "another version": (12, struct.pack("<I", 1)),
    "another plan": (16, b"\xff" * 32),
    "another compiler": (48, b"\xff" * 8),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_foreign_file_is_refused_with_what_is_foreign_about_it(cli: Cli, tmp_path: Path, name: str) -> None:
    cli.load({})
    path = saved(cli, tmp_path / "c")
    at, other = HEADS[name]
    data = bytearray(path.read_bytes())
    data[at : at + len(other)] = other
    path.write_bytes(data)
    if name.split()[0] == "another":
        cli.do("Y", str(path).encode())
    status, answer = open_file(cli, path)

    assert status == 1
    words = {"another plan": "plan", "another compiler": "compiled", "no checkpoint": "not a checkpoint"}
    assert words.get(name, name.rsplit(maxsplit=1)[-1]) in answer


def test_every_single_flipped_bit_is_noticed(cli: Cli, tmp_path: Path) -> None:
    changed(cli, 3, 25, 3)
    path = saved(cli, tmp_path / "c")
    data = path.read_bytes()
    before = answers(cli)
    dice = random.Random(9)
    places = [*range(content_at(HEAD_BYTES)), *dice.sample(range(len(data)), 300)]
    for at in places:
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :])
        assert open_file(cli, path)[0] == 1, at
    assert answers(cli) == before


def test_every_cut_and_every_addition_is_noticed(cli: Cli, tmp_path: Path) -> None:
    changed(cli, 3, 25, 3)
    path = saved(cli, tmp_path / "c")
    data = path.read_bytes()
    for size in [0, 1, *random.Random(4).sample(range(len(data)), 100), len(data) - 1]:
        path.write_bytes(data[:size])
        assert open_file(cli, path)[0] == 1, size
    for more in (b"\0", data, data[HEAD_BYTES:]):
        path.write_bytes(data + more)
        assert open_file(cli, path)[0] == 1


def test_blocks_in_another_order_left_out_or_of_another_file_are_noticed(
    cli: Cli, tmp_path: Path, long: dict[str, list[dict[str, object]]]
) -> None:
    data = saved(cli, tmp_path / "c").read_bytes()
    head = data[:HEAD_BYTES]
    blocks = [data[at : content_at(at) + block_size(data, at)] for at in block_heads(data)]
    assert len(blocks) > 4
    swapped = [blocks[1], blocks[0], *blocks[2:]]
    for parts in (swapped, blocks[1:], blocks[:-1], [*blocks, blocks[-1]], [*blocks[:2], *blocks[3:]]):
        (tmp_path / "c").write_bytes(head + b"".join(parts))
        assert open_file(cli, tmp_path / "c")[0] == 1


@pytest.mark.parametrize("seed", range(3))
def test_content_that_lies_behind_right_checksums_harms_nothing(cli: Cli, tmp_path: Path, seed: int) -> None:
    """The sanitizers watch: it is refused, or it is a snapshot whose every row number leads somewhere."""
    changed(cli, seed, 25, 3)
    path = saved(cli, tmp_path / "c")
    data = path.read_bytes()
    dice = random.Random(seed)
    refused = 0
    for _ in range(150):
        mutant = bytearray(data)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(content_at(HEAD_BYTES), len(data) - 8)
            if dice.random() < 0.5:
                mutant[at] ^= 1 << dice.randrange(8)
            else:
                struct.pack_into("<I", mutant, at, dice.choice([0, 1, 0xFFFFFFFF, 0x7FFFFFFF, dice.randrange(1 << 32)]))
        path.write_bytes(mutant)
        cli.do("Y", str(path).encode())
        refused += open_file(cli, path)[0]

    assert refused > 0


def test_long_arrays_that_lie_behind_right_checksums_harm_nothing(cli: Cli, tmp_path: Path) -> None:
    """They stay in the file: what leads into them, and how long they are, is looked at all the more."""
    cli.load(people().listed())
    data = saved(cli, tmp_path / "c").read_bytes()
    heads = list(block_heads(data))
    dice = random.Random(1)
    refused = 0
    for number in range(120):
        mutant = bytearray(data)
        block = dice.choice(heads)
        at = dice.choice([block, block - 8, content_at(block), dice.randrange(content_at(HEAD_BYTES), len(data) - 8)])
        value = dice.choice([0, 1, 65_535, 65_536, 1 << 31, (1 << 64) - 1, dice.randrange(1 << 20)])
        struct.pack_into("<Q", mutant, at, value)
        path = tmp_path / str(number)  # another file: that of the snapshot at hand is in use
        path.write_bytes(mutant)
        cli.do("Y", str(path).encode())
        if status := open_file(cli, path)[0]:
            refused += status
        else:
            cli.order("Q", b"users { count() max(name) }")  # texts may be any bytes now
        path.unlink()

    assert 20 < refused < 120
