"""Every saved input of the fuzz targets, and each of them changed a little, ends without a finding: with the ordinary
compiler and its sanitizers. `make fuzz` looks for new ones."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.engine import serving
from tests.engine.harness import FLAGS
from tests.engine.plans import PLAN
from tests.fuzz.corpus import ROWS, feed_frames
from tests.fuzz.targets import HERE, NEEDS_ROWS, TARGETS, inputs, sources

pytestmark = pytest.mark.timeout(1800)

VARIANTS = 41
"""Runs of each input, as replay.cc says."""


@pytest.mark.parametrize("target", TARGETS)
def test_no_saved_input_nor_one_like_it_is_a_finding(pytestconfig: pytest.Config, target: str) -> None:
    cache: Path = pytestconfig.cache.mkdir("engine")
    units = [*sources(target), HERE / "replay.cc"]
    if target in NEEDS_ROWS:
        units.append(serving.generated_unit(PLAN, cache))
    program = serving.link(f"fuzz-{target}", units, cache, FLAGS)

    outcome = subprocess.run(
        [str(program), *map(str, inputs(target))],
        capture_output=True,
        timeout=1200,
        env={**os.environ, "REFLEXDB_FUZZ_ROWS": str(ROWS)},
    )

    assert outcome.returncode == 0, outcome.stderr.decode(errors="replace")[-4000:]
    assert int(outcome.stdout) == VARIANTS * len(inputs(target))


def test_the_saved_rows_are_rows_of_the_plan() -> None:
    assert dict(feed_frames())["rows"] == ROWS.read_bytes()
