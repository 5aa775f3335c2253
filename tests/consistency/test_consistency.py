"""Whatever is killed, every acknowledged row stays visible, no transaction is torn, and no answer goes back.

`make soak SOAK_S=600` runs it for so long on each source, with a new seed each time; REFLEXDB_SOAK_SEED gives one
again.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.consistency.run import DEFINITIONS, SAFETY_NET_S, Run
from tests.consistency.sources import Source
from tests.following.place import Place, wait

SOAK_S = float(os.environ.get("REFLEXDB_SOAK_S") or 0)
ROUND_S = 120.0
"""A soak is made of rounds, each with a server of its own."""
SHORT_S = 20.0
CONFIG = "version: 1\nsync:\n  cdc_reconnect_mode: resume\n"
CHECKPOINT_S = ("1", "600")
"""By turns: checkpoints while everything goes on, or one of the first load alone."""
pytestmark = pytest.mark.timeout(max(600, 3 * SOAK_S))


def rounds() -> Iterator[tuple[int, float]]:
    given = os.environ.get("REFLEXDB_SOAK_SEED")
    if not SOAK_S:
        yield int(given or 1), SHORT_S
        return
    end = time.monotonic() + SOAK_S
    while (left := end - time.monotonic()) > 0:
        yield int(given) if given else random.randrange(1_000_000), min(ROUND_S, max(left, SHORT_S))


def test_what_is_acknowledged_stays_visible(source: Source, pytestconfig: pytest.Config, tmp_path: Path) -> None:
    for seed, seconds in rounds():
        print(f"REFLEXDB_SOAK_SEED={seed} on {source.kind.name}")
        source.run("DROP TABLE IF EXISTS lefts, rights", *DEFINITIONS)
        options = ("--checkpoint-s", CHECKPOINT_S[seed % 2])
        cache = pytestconfig.cache.mkdir("engine")
        place = Place(cache, tmp_path, source.kind.backend, source.as_database(), CONFIG, options)
        try:
            place.start(safety_net_s=SAFETY_NET_S)
            wait(lambda: place.health().get("state") == "ok", "a first snapshot")  # noqa: B023
            run = Run(place, source, seed)
            run.run(seconds)
            wrong = place.log("differences_found")
        finally:
            place.close()
        print(f"{run.told()}, {place.counts}")

        assert wrong == []
        assert run.reader.answers
        assert run.faults
