"""Images on their way: into a file, for whoever runs them elsewhere; to where images are kept too, and back.

Asked by the API. Nothing leaves that could not be deployed here: every byte, and the signature, is checked before.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from sqlalchemy import Connection as Tx

from reflexdb.build.portable import archive, short_tag
from reflexdb.control.audit import note
from reflexdb.control.evidence import build_of
from reflexdb.control.rooms import Rooms
from reflexdb.model.errors import BuildFailed, Conflict, ImageDamaged, Unavailable
from reflexdb.records import builds
from reflexdb.records.rows import BuildRow

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A tar that holds one image, and what to call it."""

    name: str
    content: bytes


class Shipping:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def file(self, customer_id: str, database_id: str, build_id: str, platform: str | None = None) -> ImageFile:
        """Raises NotFound; Conflict where the build has no image, or one that can't be trusted or is not whole."""
        build = self._build(customer_id, database_id, build_id)
        digest = image_of(build)
        others = build.other_images or {}
        try:
            parts = self._rooms.images.parts(others.get(platform or "", digest))
        except ImageDamaged as exc:
            raise Conflict(f"The image is not given out: {exc.message}") from exc
        if platform not in {None, f"linux/{parts.architecture}"}:
            raise Conflict(f"This build has no image for {platform}; REFLEXDB_PLATFORMS says what is built for")
        digest = parts.manifest.digest
        return ImageFile(f"reflexdb-{short_tag(digest)}.tar", archive(parts))

    def push(self, customer_id: str, database_id: str, build_id: str) -> tuple[str, str]:
        """Digest and address of the image, which is now there. Raises NotFound, Conflict, Unavailable."""
        build = self._build(customer_id, database_id, build_id)
        digest = image_of(build)

        def say(line: str) -> None:
            log.info("image_pushed", build=build.id, line=line)

        try:
            for each in (*(build.other_images or {}).values(), digest):
                address = self._rooms.images.push(
                    each, lambda line: log.info("image_pushed", build=build.id, line=line)
                )
        except ImageDamaged as exc:
            raise Conflict(f"The image is not given out: {exc.message}") from exc
        with self._rooms.store.write() as tx:
            builds.change(tx, build.id, image_uri=address)
            self._note(tx, customer_id, "build.push", build, digest, address)
        return digest, address

    def pull(self, customer_id: str, database_id: str, build_id: str) -> str:
        """The digest of the image, which is now here. Raises NotFound, Conflict, Unavailable."""
        build = self._build(customer_id, database_id, build_id)
        digest = image_of(build)
        try:
            self._rooms.images.pull(digest)
        except ImageDamaged as exc:
            raise Conflict(f"The image is not taken: {exc.message}") from exc
        except BuildFailed as exc:
            raise Unavailable(f"The image can't be stored: {exc.message}") from exc
        with self._rooms.store.write() as tx:
            self._note(tx, customer_id, "build.pull", build, digest, build.image_uri)
        return digest

    def _note(self, tx: Tx, customer_id: str, action: str, build: BuildRow, digest: str, address: str | None) -> None:
        note(tx, self._rooms.now(), customer_id, action, build.id, after={"digest": digest, "address": address})

    def _build(self, customer_id: str, database_id: str, build_id: str) -> BuildRow:
        with self._rooms.store.read() as tx:
            return build_of(tx, customer_id, database_id, build_id)


def image_of(build: BuildRow) -> str:
    """The digest. Raises Conflict where there is none."""
    if build.image_digest is None:
        raise Conflict(f"This build is {build.status.replace('_', ' ')} and has no image")
    return build.image_digest
