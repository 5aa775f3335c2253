"""Whether a build's image is stored, intact and signed by a trusted key: the truth behind `deployable`.

The image store reads every byte to answer; here its answer is remembered for as long as the files it read are the
same files, by inode, size and time of change, and the same keys are trusted. What is stored at all is known from the
store's index, which is read again when it has changed: of a thousand builds whose images are gone, none touches the
disk. Knows the public OCI layout, nothing else of images.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

from reflexdb.build.signing import signature_tag
from reflexdb.control.rooms import Rooms
from reflexdb.model.errors import ReflexError
from reflexdb.records.rows import BuildRow

_Identity = tuple[frozenset[str], tuple[tuple[str, int, int, int], ...]]
"""The keys that are trusted, and the files."""
_MAX_REMEMBERED = 10_000
_TAG = "org.opencontainers.image.ref.name"


class Images:
    def __init__(self, rooms: Rooms) -> None:
        self._store = rooms.images
        self._keys = rooms.signing
        self._known: dict[str, tuple[_Identity, bool]] = {}
        self._index: tuple[tuple[int, int, int], Path, Mapping[str, str]] | None = None
        self._lock = threading.Lock()

    def deployable(self, build: BuildRow) -> bool:
        """A succeeded build whose image can be deployed now."""
        made = build.status == "succeeded" and build.image_digest is not None and build.image_uri is not None
        return made and self.usable(build.image_digest or "")

    def usable(self, digest: str) -> bool:
        """Whether a succeeded build's image can be deployed now."""
        with self._lock:
            remembered = self._known.get(digest)
        identity = self._identity(digest, remembered[0] if remembered else None)
        if identity is None:
            return False
        if remembered is not None and remembered[0] == identity:
            return remembered[1]
        intact = self._store.verify(digest)
        with self._lock:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[digest] = (identity, intact)
        return intact

    def why_not(self, build: BuildRow) -> str | None:
        """Why a build can't be deployed now, in one sentence; None where it can."""
        if self.deployable(build):
            return None
        if build.status != "succeeded":
            return f"the build is {build.status.replace('_', ' ')}; only a succeeded one has an image"
        if build.image_digest is None or build.image_uri is None:
            return "the build has no image"
        if self._identity(build.image_digest, None) is None:
            return f"the image {build.image_digest} is not stored any more, or not whole; rebuild"
        return self.refusal(build.image_digest)

    def stored(self) -> set[str]:
        """The images that the store's index names; not the signatures."""
        named = self._stored()[1]
        return set(named.values()) - {named[tag] for tag in map(signature_tag, named.values()) if tag in named}

    def refusal(self, digest: str) -> str | None:
        """Why the image may not be deployed; None where it may. Verified byte by byte, now."""
        return self._store.why_not(digest)

    def refusal_at_last(self, digest: str) -> str | None:
        """Like `refusal`, after what is missing here was fetched from where images are kept too."""
        why_not = self.refusal(digest)
        if why_not is None or not self._store.mirrored:
            return why_not
        try:
            self._store.pull(digest)
        except ReflexError as exc:
            return f"{why_not} Nor can it be fetched: {exc.message}"
        return self.refusal(digest)

    def _identity(self, digest: str, former: _Identity | None) -> _Identity | None:
        """What tells these files from any others, or None where one is missing or unreadable.

        A digest names one manifest for ever, so the parts of a former identity are its parts still.
        """
        root, stored = self._stored()
        if digest not in stored.values():
            return None
        signature = stored.get(signature_tag(digest))
        try:
            names = [part for part, *_ in former[1]] if former else _parts(root, digest)
            if signature is not None and signature not in names:
                names = [*_parts(root, digest), *_parts(root, signature)]
            stats = [(name, _blob(root, name).stat()) for name in names]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        files = tuple((part, stat.st_ino, stat.st_size, stat.st_mtime_ns) for part, stat in stats)
        return frozenset(self._keys.trusted()), files

    def _stored(self) -> tuple[Path, Mapping[str, str]]:
        """Where the images are, and the digests that the index names, by their tags."""
        root = Path(self._store.uri("").removeprefix("oci:").rsplit("@", 1)[0])
        try:
            stat = (root / "index.json").stat()
            identity = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            known = self._index
            if known is not None and known[0] == identity:
                return root, known[2]
            index = json.loads((root / "index.json").read_bytes())
            digests = {
                entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"]
                for entry in index["manifests"]
            }
        except (OSError, ValueError, KeyError, TypeError):
            return root, {}
        self._index = (identity, root, digests)
        return root, digests


def _blob(root: Path, digest: str) -> Path:
    return root / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _parts(root: Path, digest: str) -> list[str]:
    manifest = json.loads(_blob(root, digest).read_bytes())
    return [digest, manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]
