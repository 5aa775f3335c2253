"""Build histories as they are answered, for databases with thousands of builds: what is finished is read once.

A finished build is never changed (`records.builds.change` sees to that), except that its image may vanish or be
damaged. So of a long history the part up to the last build before an unfinished one is held as it is answered, with
the images it depends on; each answer reads what came after from the records, and looks at every image again. Short
histories are read as fast as they would be checked, and are not held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection as Tx

from reflexdb.control.held import Held
from reflexdb.control.images import Images
from reflexdb.records import builds
from reflexdb.records.builds import UNFINISHED, BuildFilter, Listed

_MAX_BYTES = 64 << 20
_WORTH_HOLDING = 200
"""Builds."""

Show = Callable[[Sequence[tuple[Listed, bool]]], bytes]
"""Builds, each with whether it can be deployed, as the answer has them, with commas between; it must depend on nothing
else."""

_AT_ONCE = 500
"""Builds shown in one go: others get their turn in between."""


@dataclass(frozen=True, slots=True)
class _Finished:
    """The builds 1 to `last`, newest first."""

    last: int
    usable: dict[str, bool]
    """The images of those that succeeded, and whether they could be deployed."""
    shown: bytes


_NOTHING = _Finished(0, {}, b"")


class Histories:
    """Safe to use from any thread."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._held: Held[_Finished] = Held(_MAX_BYTES, lambda held: len(held.shown))

    def of(self, tx: Tx, database_id: str, show: Show) -> bytes:
        """All builds of the database, newest first, with commas between them."""
        held = self._held.get(database_id) or _NOTHING
        if held.usable != self._usable(held.usable):
            held = _NOTHING
        rows = builds.history(tx, database_id, BuildFilter(after=held.last))
        usable = held.usable | self._usable(images_of(rows))
        shown = [(row, is_deployable(row, usable)) for row in rows]
        news = next((place for place, row in reversed([*enumerate(rows)]) if row.status in UNFINISHED), -1) + 1
        finished = _joined([*_in_parts(shown[news:], show), held.shown])
        if rows[news:] and rows[news].number >= _WORTH_HOLDING:
            made = {image: usable[image] for image in [*held.usable, *images_of(rows[news:])]}
            self._held.put(database_id, _Finished(rows[news].number, made, finished))
        return _joined([*_in_parts(shown[:news], show), finished])

    def _usable(self, images: Sequence[str] | dict[str, bool]) -> dict[str, bool]:
        return {image: self._images.usable(image) for image in images}


def images_of(rows: Sequence[Listed]) -> dict[str, bool]:
    """The images of the builds that succeeded, each once; nothing is known of them yet."""
    return {row.image_digest: False for row in rows if row.status == "succeeded" and row.image_digest is not None}


def is_deployable(row: Listed, usable: dict[str, bool]) -> bool:
    return row.status == "succeeded" and row.image_digest is not None and usable[row.image_digest]


def _in_parts(rows: Sequence[tuple[Listed, bool]], show: Show) -> Iterator[bytes]:
    for start in range(0, len(rows), _AT_ONCE):
        yield show(rows[start : start + _AT_ONCE])


def _joined(parts: Sequence[bytes]) -> bytes:
    return b",".join(part for part in parts if part)
