"""What every builder does with an image once it is made: store it, sign it, remember what it was made of, push it.

Keeps `images/` (the store) and `cache/images/` (which image the same inputs made) under the data directory, which
builds of several threads and processes may share. It refuses to know how images are made.
"""

from __future__ import annotations

from pathlib import Path

from reflexdb.build.base import Image, Log
from reflexdb.build.files import TEMPORARY_PREFIX, locked, newest_first, write_atomically
from reflexdb.build.image import ImageParts
from reflexdb.build.mirrored import MirroredStore
from reflexdb.build.phases import Phases
from reflexdb.build.remote import Remote
from reflexdb.build.signing import SigningKeys
from reflexdb.build.store import DirectoryStore
from reflexdb.model.errors import BuildFailed, Unavailable

REMEMBERED_IMAGES = 1_000


class Shelf:
    def __init__(self, data_dir: Path, keys: SigningKeys | None = None, elsewhere: Remote | None = None) -> None:
        """With keys, what is stored is signed, and what is not signed is not known; `elsewhere` gets images too."""
        self._cache = data_dir.absolute() / "cache"
        images = data_dir / "images"
        self.store = MirroredStore(images, elsewhere, keys) if elsewhere else DirectoryStore(images, keys)

    def reused(self, key: str, phases: Phases, log: Log) -> Image | None:
        """The intact image that the same inputs made before."""
        with phases.run("reuse"):
            known = self._known(key)
        if known is None:
            return None
        log(f"reuse: nothing changed since the image {known} was made; its bytes were verified")
        return self._image(known, phases, log, reused=True)

    def _known(self, key: str) -> str | None:
        try:
            digest = (self._cache / "images" / key).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
        return digest if self.store.verify(digest) else None

    def keep(self, parts: ImageParts, key: str, phases: Phases, log: Log) -> Image:
        """Store an image that inputs with this key made, and push it. Raises BuildFailed."""
        with phases.run("package"):
            digest = self.store.put(parts)
        with phases.run("verify"):
            if not self.store.verify(digest):
                raise BuildFailed(
                    "verify",
                    f"The image {digest} differs on disk from what was written; check the disk and build again.",
                )
            self._remember(key, digest)
        log(f"done: image {digest}")
        return self._image(digest, phases, log, reused=False)

    def forget(self, key: str) -> None:
        """What these inputs made is to be made again."""
        (self._cache / "images" / key).unlink(missing_ok=True)

    def _image(self, digest: str, phases: Phases, log: Log, *, reused: bool) -> Image:
        return Image(digest, self._pushed(digest, phases, log), self.store.size_bytes(digest), reused)

    def _remember(self, key: str, digest: str) -> None:
        """Keep which image the inputs made; the oldest of very many are forgotten and would be built again."""
        known = self._cache / "images"
        known.mkdir(parents=True, exist_ok=True)
        with locked(self._cache / "images.lock"):
            for left in known.glob(f"{TEMPORARY_PREFIX}*"):
                left.unlink(missing_ok=True)
            write_atomically(known / key, digest.encode("ascii"))
            for path in newest_first(known)[REMEMBERED_IMAGES:]:
                path.unlink(missing_ok=True)

    def _pushed(self, digest: str, phases: Phases, log: Log) -> str:
        """Where the image is for others. A registry that fails fails no build: what is here can be deployed."""
        if self.store.mirrored:
            try:
                with phases.run("push"):
                    return self.store.push(digest, log)
            except Unavailable as exc:
                log(f"push: failed, and can be asked for again (`reflexdb build push`): {exc.message}")
        return self.store.uri(digest)
