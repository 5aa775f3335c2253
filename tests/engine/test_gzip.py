"""What the engine compresses, Python's zlib reads."""

from __future__ import annotations

import gzip
import json
import random
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.harness import Cli

RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def compressed(cli: Cli, data: bytes, step: int = 100_000) -> bytes:
    return cli.order("Z", struct.pack("<I", step) + data)[1]


@RELAXED
@given(st.binary(max_size=3000), st.integers(1, 4000))
def test_any_bytes_come_back(cli: Cli, data: bytes, step: int) -> None:
    assert gzip.decompress(compressed(cli, data, step)) == data


@RELAXED
@given(st.integers(0, 1 << 32), st.sampled_from([1, 2, 3, 16, 256]), st.integers(1, 200_000), st.integers(500, 90_000))
def test_long_texts_of_few_or_many_letters_come_back(cli: Cli, seed: int, letters: int, size: int, step: int) -> None:
    source = random.Random(seed)
    words = [source.randbytes(source.randrange(1, 40)) for _ in range(letters)]
    data = b"".join(source.choices(words, weights=[2.0**-n for n in range(letters)], k=size // 20 + 1))[:size]

    assert gzip.decompress(compressed(cli, data, step)) == data


@pytest.mark.parametrize("data", [b"", b"a", b"a" * 300_000, bytes(range(256)) * 300, b"ab" * 32_768 + b"b" * 259])
def test_edges_come_back(cli: Cli, data: bytes) -> None:
    assert gzip.decompress(compressed(cli, data)) == data


def test_letters_so_uneven_that_their_codes_must_be_cut_come_back(cli: Cli) -> None:
    counts, more = [1, 1], b""
    while sum(counts) < 60_000:
        counts.append(counts[-1] + counts[-2])
    more = b"".join(bytes([n]) * count for n, count in enumerate(counts))
    data = bytes(random.Random(1).sample(more, len(more)))

    assert gzip.decompress(compressed(cli, data)) == data


def test_answers_become_a_fraction(cli: Cli) -> None:
    rows = [{"id": n, "name": f"user {n * 7919 % 1000}", "email": f"u{n}@example.com"} for n in range(20_000)]
    data = json.dumps(rows).encode()

    assert len(compressed(cli, data)) * 5 < len(data)
