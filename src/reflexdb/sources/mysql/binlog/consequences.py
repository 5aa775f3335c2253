"""The values by which rows of a parent led to others, out of the row events that delete them or change their keys."""

from __future__ import annotations

from reflexdb.sources.changes import UNCHANGED, Row
from reflexdb.sources.mysql.binlog.cascades import Consequence
from reflexdb.sources.mysql.binlog.images import pairs, singles
from reflexdb.sources.mysql.binlog.loggedtable import LoggedTable

Present = tuple[bytes, bytes]
"""Which columns the images before and after a change have."""


def deleted(table: LoggedTable, consequence: Consequence, present: Present, data: bytes) -> list[Row] | None:
    """Of the rows that an event deletes; None where they are not known. Raises one of MALFORMED."""
    image = None if consequence.led is None else table.former(consequence.led.referenced, present[0])
    if image is None:
        return None
    found = list(singles(data, 0, image))
    if any(UNCHANGED in values for values in found):
        return None
    return [values for values in found if None not in values]


def updated(table: LoggedTable, consequence: Consequence, present: Present, data: bytes) -> list[Row] | None:
    """Of the rows of an event that change in the columns that the consequence is about; None where they, or which they
    are, are not known. Raises one of MALFORMED."""
    if not consequence.columns or table.is_blind:
        return None
    old, new = (table.raw(consequence.columns, bits) for bits in present)
    changed = [UNCHANGED not in after and before != after for before, after in pairs(data, 0, old, new)]
    if not any(changed):
        return []
    before, after = (
        None if consequence.led is None else table.former(consequence.led.referenced, bits) for bits in present
    )
    if before is None or after is None:
        return None
    found = [values for values, _ in pairs(data, 0, before, after)]
    values = [each for each, is_changed in zip(found, changed, strict=True) if is_changed]
    if any(UNCHANGED in each for each in values):
        return None
    return [each for each in values if None not in each]
