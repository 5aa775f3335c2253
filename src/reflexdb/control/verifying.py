"""A past build made again from what is recorded of it, to see whether the same image comes of it.

Asked by the API. What is recorded: the plan, in the manifest of the signed image; reflexdb.yaml, with the build; the
build's own note of the plan's fingerprint, which must be that plan's. Everything is made in a new directory that is
gone afterwards, and nothing is stored. One at a time: it takes a processor for seconds, or a minute with the engine.
Only a builder that can remake images is asked to.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from reflexdb.build.base import Check, Log
from reflexdb.build.differences import Difference, differences
from reflexdb.build.files import scratch_directory
from reflexdb.build.image import ImageParts
from reflexdb.control.evidence import build_of
from reflexdb.control.images import Images
from reflexdb.control.rooms import Rooms
from reflexdb.model.errors import BuildFailed, Conflict, ImageDamaged, Overloaded
from reflexdb.model.plan import Plan
from reflexdb.records.rows import BuildRow


@runtime_checkable
class Remaker(Protocol):
    """A builder that can make an image again here."""

    def remake(
        self, plan: Plan, config_text: str | None, directory: Path, log: Log, check: Check = ..., *, fresh: bool
    ) -> ImageParts: ...


@dataclass(frozen=True, slots=True)
class Verification:
    build: BuildRow
    rebuilt: str
    """The digest of what was made now."""
    differences: list[Difference]
    """Empty where it is the same image, byte for byte."""
    fresh: bool
    """The engine, too, was compiled for it."""
    seconds: float


class Verifying:
    def __init__(self, rooms: Rooms, images: Images, stopping: Callable[[], bool]) -> None:
        self._rooms = rooms
        self._images = images
        self._stopping = stopping
        self._one = threading.Lock()

    def verify(self, customer_id: str, database_id: str, build_id: str, *, fresh: bool) -> Verification:
        """Raises NotFound; Conflict where the build has no image that can be read, or can't be made again; Overloaded
        where another is being verified."""
        with self._rooms.store.read() as tx:
            build = build_of(tx, customer_id, database_id, build_id)
        why_not = self._images.why_not(build)
        if why_not is not None:
            raise Conflict(f"Build #{build.number} can't be verified: {why_not}")
        builder = self._rooms.builder
        if not isinstance(builder, Remaker):
            raise Conflict("The builder of this control plane makes images elsewhere and can't make one again here")
        if not self._one.acquire(blocking=False):
            raise Overloaded("Another build is being verified; try again in a minute")
        try:
            return self._verified(builder, build, fresh)
        finally:
            self._one.release()

    def _verified(self, builder: Remaker, build: BuildRow, fresh: bool) -> Verification:
        digest, began = build.image_digest or "", time.monotonic()
        with scratch_directory(self._rooms.data_dir / "cache" / "verify") as directory:
            document, plan, server = self._recorded(build, directory / "recorded")
            try:
                made = builder.remake(plan, build.config_text, directory, _quiet, self._check, fresh=fresh)
            except BuildFailed as exc:
                raise Conflict(f"Build #{build.number} could not be made again: {exc.message}") from exc
            found = differences(digest, document, server, made)
        return Verification(build, made.manifest.digest, found, fresh, time.monotonic() - began)

    def _recorded(self, build: BuildRow, directory: Path) -> tuple[dict[str, Any], Plan, bytes]:
        """Raises Conflict where the records and the image do not tell of the same thing."""
        digest, images = build.image_digest or "", self._rooms.images
        try:
            document, plan = images.document(digest), images.plan(digest)
            server = images.unpack(digest, directory).read_bytes()
        except ImageDamaged as exc:
            raise Conflict(f"Build #{build.number} can't be verified: {exc.message}") from exc
        config = build.config_text
        config_sha256 = None if config is None else hashlib.sha256(config.encode("utf-8", "surrogatepass")).hexdigest()
        if plan.fingerprint().hex() != build.fingerprint:
            raise Conflict(f"Build #{build.number} is recorded with another plan than its image has")
        if config_sha256 != document["config_sha256"]:
            raise Conflict(f"Build #{build.number} is recorded with another reflexdb.yaml than its image was made of")
        return document, plan, server

    def _check(self) -> None:
        if self._stopping():
            raise Overloaded("The control plane is being stopped; verify the build after its next start")


def _quiet(_line: str) -> None:
    """What is made again has no log: what comes of it is the answer."""
