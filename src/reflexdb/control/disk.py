"""What images take of the disk: of a database, for whoever owns it, and of all of them, for the operator.

Asked by the API and when metrics are collected. Of a database, what is stored now counts, each image once, however many
builds share it: the size is that which its build wrote down. What several databases share counts for each of them, so
their sum may be more than the whole; the whole is what the store finds on its disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reflexdb.build.base import Measurable, StoreUse
from reflexdb.control.databases import found
from reflexdb.control.images import Images
from reflexdb.control.rooms import Rooms
from reflexdb.records import builds, databases
from reflexdb.records.builds import ImageOf


@dataclass(frozen=True, slots=True)
class StoredImage:
    digest: str
    bytes: int | None
    """None of images of before this was kept."""
    builds: tuple[int, ...]
    """The numbers of the builds that made it, the newest first."""
    pinned: bool


@dataclass(frozen=True, slots=True)
class DatabaseDisk:
    database_id: str
    images: list[StoredImage]
    """Those that are stored now, the newest first."""

    @property
    def bytes(self) -> int:
        return sum(each.bytes or 0 for each in self.images)


class Disk:
    def __init__(self, rooms: Rooms, images: Images) -> None:
        self._rooms = rooms
        self._images = images

    def of_database(self, customer_id: str, database_id: str) -> DatabaseDisk:
        """Raises NotFound."""
        with self._rooms.store.read() as tx:
            row = found(tx, customer_id, database_id)
            made = builds.images_of(tx, row.id)
        return _disk(row.id, made, self._images.stored())

    def of_all(self) -> list[DatabaseDisk]:
        """Of every database that is there, what takes most first."""
        stored = self._images.stored()
        with self._rooms.store.read() as tx:
            every = [_disk(each.id, builds.images_of(tx, each.id), stored) for each in databases.everyones(tx)]
        return sorted(every, key=lambda each: (-each.bytes, each.database_id))

    def whole(self) -> StoreUse | None:
        """Of the store itself; None where its disk is not this machine's to measure."""
        store = self._rooms.images
        return store.use() if isinstance(store, Measurable) else None

    def images(self) -> int:
        """How many images that builds made are stored."""
        with self._rooms.store.read() as tx:
            return len(self._images.stored() & builds.image_digests(tx))


def _disk(database_id: str, made: Iterable[ImageOf], stored: set[str]) -> DatabaseDisk:
    by_digest: dict[str, list[ImageOf]] = {}
    for each in made:
        if each.digest in stored:
            by_digest.setdefault(each.digest, []).append(each)
    return DatabaseDisk(database_id, [_image(digest, of) for digest, of in by_digest.items()])


def _image(digest: str, of: list[ImageOf]) -> StoredImage:
    sizes: Mapping[int, int] = {each.number: each.bytes for each in of if each.bytes is not None}
    size = sizes[max(sizes)] if sizes else None
    return StoredImage(digest, size, tuple(each.number for each in of), any(each.pinned for each in of))
