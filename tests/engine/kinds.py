"""Rows of the table `kinds`, which has a column of every storage: the values at the ends of each, and some between."""

from __future__ import annotations

import random
from typing import Any

from reflexdb.model.storage import Storage

VALUES: dict[Storage, list[Any]] = {
    Storage.BOOL: [True, False],
    Storage.I16: [-32768, -1, 0, 7, 32767],
    Storage.I32: [-(2**31), -1, 0, 7, 2**31 - 1],
    Storage.I64: [-(2**63), -1, 0, 7, 2**63 - 1],
    Storage.U64: [0, 7, 2**63, 2**64 - 1],
    Storage.F32: [-1.5, -0.0, 0.0, 0.25, 1e30, float("inf"), float("nan")],
    Storage.F64: [-1.5, -0.0, 0.0, 0.25, 1e300, float("-inf"), float("nan")],
    Storage.DECIMAL: ["-10", "-9.5", "0", "0.10", "2", "10"],
    Storage.TEXT: ["", "a", "a\0", "abcdefgh", "abcdefghi", "abcdefgz", "é", "zz"],
    Storage.UUID: [bytes(16), b"\x01" * 16, b"\x01" * 15 + b"\x02", b"\xff" * 16],
}


def kinds(storage: Storage, count: int = 300) -> list[dict[str, Any]]:
    """With values, and nulls, in the column of one storage alone."""
    dice = random.Random(storage.name)
    values = [*VALUES[storage], None]
    return [{"id": f"k{number:04}", storage.name.lower(): dice.choice(values)} for number in range(count)]
