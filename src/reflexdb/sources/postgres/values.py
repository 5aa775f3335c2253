"""Brings what ADBC returns into the storage's Arrow type.

PostgreSQL counts time from 2000, Arrow from 1970, and ADBC adds the difference with wrap-around; so PostgreSQL's
infinities, which are the extremes of its integers, arrive as known values outside the range of its dates, and are put
back to the extremes here. What lies beyond what 64 bits of microseconds since 1970 hold (years after 294246) is
refused. Pure.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from reflexdb.model.storage import Storage
from reflexdb.sources.base import ARROW_TYPES

_DAYS_TO_2000 = 10_957
_MICROS_TO_2000 = _DAYS_TO_2000 * 86_400_000_000
_FIRST_DAY = -2_440_588  # 4714-11-24 BC, the first date PostgreSQL has
_TEMPORAL = {
    Storage.DATE: (pa.int32(), 2**31, _DAYS_TO_2000, _FIRST_DAY),
    Storage.DATETIME: (pa.int64(), 2**63, _MICROS_TO_2000, _FIRST_DAY * 86_400_000_000),
    Storage.TIMESTAMP: (pa.int64(), 2**63, _MICROS_TO_2000, _FIRST_DAY * 86_400_000_000),
}


def to_arrow(array: pa.Array, storage: Storage) -> pa.Array:
    """The column in the storage's Arrow type. Raises ValueError."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if storage in _TEMPORAL:
        return _temporal(array, storage)
    wanted = ARROW_TYPES[storage]
    return array if array.type == wanted else array.cast(wanted)


def _temporal(array: pa.Array, storage: Storage) -> pa.Array:
    integer, half, offset, first = _TEMPORAL[storage]
    counts = array.view(integer)
    low = pc.min(counts).as_py()
    if low is None or low >= first:
        return array.view(ARROW_TYPES[storage])
    for wrapped, meant in ((-half + offset - 1, half - 1), (-half + offset, -half)):
        counts = pc.if_else(pc.equal(counts, wrapped), pa.scalar(meant, integer), counts)
    beyond = pc.and_(pc.less(counts, first), pc.not_equal(counts, -half))
    if pc.any(beyond).as_py():
        raise ValueError("the year is beyond 294246, which is the last that can be served")
    return counts.view(ARROW_TYPES[storage])
