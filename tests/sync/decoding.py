"""A decoder of ROWS frames, written from engine/doc/feed.md alone."""

from __future__ import annotations

import itertools
import struct
from typing import Any

from reflexdb.model.plan import PlannedTable
from reflexdb.model.storage import FIXED_WIDTH, Storage

FORMATS = {1: "?", 2: "h", 3: "i", 4: "q", 5: "Q", 6: "f", 7: "d", 9: "i", 10: "q", 11: "q"}


def decode_rows(planned: PlannedTable, body: bytes) -> list[tuple[Any, ...]]:
    """The rows of a frame's body; nulls as None, variable values as bytes."""
    _, count = struct.unpack_from("<II", body)
    at = 8
    columns = []
    for planned_column in planned.columns:
        has_nulls, at = body[at], at + 1
        valid = [True] * count
        if has_nulls:
            bits = body[at : at + (count + 7) // 8]
            valid, at = [bool(bits[i // 8] >> (i % 8) & 1) for i in range(count)], at + len(bits)
        width = FIXED_WIDTH.get(planned_column.storage)
        if width is None:
            offsets = struct.unpack_from(f"<{count + 1}I", body, at)
            at += 4 * (count + 1)
            assert offsets[0] == 0
            values: list[Any] = [body[at + a : at + b] for a, b in itertools.pairwise(offsets)]
            at += offsets[-1]
        elif planned_column.storage is Storage.UUID:
            values, at = [body[at + 16 * i : at + 16 * i + 16] for i in range(count)], at + 16 * count
        else:
            values = list(struct.unpack_from(f"<{count}{FORMATS[planned_column.storage]}", body, at))
            at += width * count
        columns.append([value if ok else None for value, ok in zip(values, valid, strict=True)])
    assert at == len(body)
    return list(zip(*columns, strict=True))
