"""The worked example of engine/doc/checkpoint.md: its bytes are what the server writes, and can be read by the page."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from reflexdb.model.plan import Plan
from reflexdb.model.schema import Backend
from reflexdb.model.storage import Storage
from tests.engine.harness import ENGINE, Cli, build
from tests.engine.plans import column, table
from tests.engine.test_checkpoint import HEAD_BYTES, content_at, open_file, saved

pytestmark = pytest.mark.timeout(1200)

EXAMPLE = Plan(
    Backend.SQLITE,
    "main",
    (table("pets", [column("id", Storage.I32, nullable=False), column("name", Storage.TEXT)]),),
)
ROWS: dict[str, list[dict[str, object]]] = {
    "pets": [{"id": 1, "name": "Zoë"}, {"id": 2, "name": None}, {"id": 3, "name": ""}]
}
FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F)
MASK = (1 << 64) - 1


def page_bytes() -> bytes:
    """The bytes of the page's example: at the beginning of each indented line, up to two spaces or the end."""
    text = (ENGINE / "doc" / "checkpoint.md").read_text(encoding="utf-8").split("## Worked example", 1)[1]
    found = re.findall(r"^    ((?:[0-9a-f]{2} ?)+)(?:  .*)?$", text, re.MULTILINE)
    return bytes.fromhex("".join(found))


def step(lane: int, word: int, factor: int) -> int:
    mixed = (lane ^ word) * factor & MASK
    return (mixed << 29 | mixed >> 35) & MASK


def checksum(data: bytes, seed: int = 0) -> int:
    """As the page says it."""
    lanes = [seed ^ number for number in (1, 2, 3, 4)]
    padded = data + bytes(32 - len(data) % 32)
    for at in range(0, len(padded), 32):
        words = struct.unpack_from("<4Q", padded, at)
        lanes = [step(lane, word, factor) for lane, word, factor in zip(lanes, words, FACTORS, strict=True)]
    total = len(data)
    for lane, factor in zip(lanes, reversed(FACTORS), strict=True):
        total = step(total, lane ^ lane >> 31, factor)
    return total ^ total >> 32


@pytest.fixture
def example(pytestconfig: pytest.Config) -> Iterator[Cli]:
    process = Cli(build(EXAMPLE, pytestconfig.cache.mkdir("engine")), EXAMPLE)
    yield process
    process.close()


def plain(data: bytes) -> bytes:
    """With the page's fingerprint and hashes in place of those of the plan and the compiler at hand."""
    return data[:16] + bytes(range(32)) + bytes(8) + data[56:]


def test_the_pages_bytes_are_what_the_server_writes(example: Cli, tmp_path: Path) -> None:
    example.load(ROWS)
    path = saved(example, tmp_path / "c")
    path.write_bytes(plain(path.read_bytes()))
    example.do("Y", str(path).encode())

    assert path.read_bytes().hex(" ") == page_bytes().hex(" ")


def test_the_pages_sums_are_as_the_page_says() -> None:
    data = page_bytes()
    size, last, spare, number, total = struct.unpack_from("<QIIQQ", data, HEAD_BYTES)
    content = data[content_at(HEAD_BYTES) :]
    about = struct.pack("<QIIQ", size, last, spare, number) + data[56:72]

    assert struct.unpack_from("<Q", data, 72)[0] == checksum(data[:72])
    assert (size, last, spare, number) == (len(content), 1, 0, 0)
    assert total == checksum(content, checksum(about))


def test_the_pages_bytes_are_read_as_the_rows_they_show(example: Cli, tmp_path: Path) -> None:
    example.load({})
    own = saved(example, tmp_path / "own").read_bytes()
    path = tmp_path / "c"
    path.write_bytes(page_bytes()[:16] + own[16:56] + page_bytes()[56:])
    example.do("Y", str(path).encode())

    assert open_file(example, path) == (0, "")
    assert example.rows("pets { id name }") == ROWS["pets"]
    assert example.rows("pets(id = 2) { id }") == [{"id": 2}]
