"""Whether a build's image is stored and intact: the truth behind `deployable`.

The image store reads every byte to answer; here its answer is remembered for as long as the files it read are the
same files, by inode, size and time of change, so that a list of a thousand builds is quick. Knows the public OCI
layout, nothing else of images.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

from reflexdb.build.base import ImageStore
from reflexdb.records.rows import BuildRow

_Identity = tuple[tuple[str, int, int, int], ...]
_MAX_REMEMBERED = 10_000


class Images:
    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._known: dict[str, tuple[_Identity, bool]] = {}
        self._lock = threading.Lock()

    def deployable(self, build: BuildRow) -> bool:
        """A succeeded build whose image can be deployed now."""
        if build.status != "succeeded" or build.image_digest is None or build.image_uri is None:
            return False
        identity = _identity(build.image_uri, build.image_digest)
        if identity is None:
            return False
        with self._lock:
            remembered = self._known.get(build.image_digest)
        if remembered is not None and remembered[0] == identity:
            return remembered[1]
        intact = self._store.verify(build.image_digest)
        with self._lock:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[build.image_digest] = (identity, intact)
        return intact

    def why_not(self, build: BuildRow) -> str | None:
        """Why a build can't be deployed now, in one sentence; None where it can."""
        if self.deployable(build):
            return None
        if build.status != "succeeded":
            return f"the build is {build.status.replace('_', ' ')}; only a succeeded one has an image"
        if build.image_digest is None or build.image_uri is None:
            return "the build has no image"
        if _identity(build.image_uri, build.image_digest) is None:
            return f"the image {build.image_digest} is not stored any more, or not whole; rebuild"
        return f"the stored image differs from its digest {build.image_digest}; rebuild"

    def intact(self, digest: str) -> bool:
        """Verified byte by byte, now."""
        return self._store.verify(digest)


def _identity(uri: str, digest: str) -> _Identity | None:
    """What tells these files from any others, or None where one is missing or unreadable."""
    root = Path(uri.removeprefix("oci:").rsplit("@", 1)[0])
    try:
        if f'"{digest}"' not in (root / "index.json").read_text("utf-8"):
            return None
        manifest = json.loads(_blob(root, digest).read_bytes())
        parts = [digest, manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]
        stats = [(part, _blob(root, part).stat()) for part in parts]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return tuple((part, stat.st_ino, stat.st_size, stat.st_mtime_ns) for part, stat in stats)


def _blob(root: Path, digest: str) -> Path:
    return root / "blobs" / "sha256" / digest.removeprefix("sha256:")
