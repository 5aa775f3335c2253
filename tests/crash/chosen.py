"""Which steps are tried: all of them where REFLEXDB_CRASH is `all`, as `make crash` sets it, else a few.

The few are evenly spread and begin at a place that a seed decides; it is printed, and REFLEXDB_CRASH_SEED gives it
again.
"""

from __future__ import annotations

import os
import random

SEED = os.environ.get("REFLEXDB_CRASH_SEED") or "1"
WHOLE = os.environ.get("REFLEXDB_CRASH") == "all"
PARTS = 4 if WHOLE else 1
"""A long walk is split, so that several processes can take a part each."""


def chosen(name: str, total: int, samples: int, part: int = 0, parts: int = 1) -> list[int]:
    """Steps of 1 to `total`."""
    if WHOLE:
        steps = list(range(1 + part, total + 1, parts))
    else:
        offset = random.Random(f"{SEED} {name}").random()
        steps = [1 + int((index + offset) * total / samples) for index in range(samples)]
    print(f"{name}: {total} steps, seed {SEED}: {steps}")
    return steps
