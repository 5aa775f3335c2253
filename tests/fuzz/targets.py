"""What is fuzzed, and from which of the engine's sources each target is made."""

from __future__ import annotations

import re
from pathlib import Path

from tests.engine.harness import ENGINE, UNITS_WITHOUT_HEADER

HERE = Path(__file__).parent
TARGETS = ("http", "query", "feed", "checkpoint")
NEEDS_ROWS = ("query", "feed", "checkpoint")
"""Targets that are linked with a generated unit."""


def sources(target: str) -> list[Path]:
    """The target's own file and the engine's units that it needs, following includes."""
    files = [HERE / f"fuzz_{target}.cc"]
    if target in NEEDS_ROWS:
        files += [HERE / "session.h", *(ENGINE / f"{unit}.cc" for unit in UNITS_WITHOUT_HEADER)]
    for file in files:  # grows while it is walked
        for unit in re.findall(r'^#include "(\w+)\.h"', file.read_text(), re.MULTILINE):
            found = [path for path in (ENGINE / f"{unit}.h", ENGINE / f"{unit}.cc") if path.exists()]
            files += [path for path in found if path not in files]
    return sorted(file for file in files if file.suffix == ".cc")


def inputs(target: str) -> list[Path]:
    return sorted(path for path in (HERE / "corpus" / target).iterdir() if path.is_file())
