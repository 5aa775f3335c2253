"""Images in a directory, as an OCI image layout: `oci-layout`, `index.json`, `blobs/sha256/...`.

The image store of the local builder; control, deploy and the builders call it, from any thread and process.
Everything read is verified against its digest. Blobs are written before the index names them and removed after it has
forgotten them, both under one lock, so that a kill at any instant leaves a valid layout and at worst a blob that the
next change collects. It refuses to know how images are made.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import tarfile
from pathlib import Path
from typing import Any

from reflexdb.build.files import TEMPORARY_PREFIX, locked, sync_directory, write_atomically
from reflexdb.build.image import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_PATH,
    MANIFEST_TYPE,
    SERVER_PATH,
    Blob,
    ImageParts,
    canonical_json,
    extract,
)
from reflexdb.model.errors import BuildFailed, ImageDamaged
from reflexdb.model.plan import Plan

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MAX_JSON_BYTES = 256 << 20
_LAYOUT = canonical_json({"imageLayoutVersion": "1.0.0"})
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class DirectoryStore:
    """ImageStore on a directory, which is made when the first image is stored."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._blobs = self._root / "blobs" / "sha256"
        self._index = self._root / "index.json"

    def uri(self, digest: str) -> str:
        return f"oci:{self._root}@{digest}"

    def put(self, parts: ImageParts) -> str:
        """Store an image and return its digest. Storing it again changes nothing. Raises BuildFailed("package")."""
        try:
            self._blobs.mkdir(parents=True, exist_ok=True)
            with locked(self._root / ".lock"):
                self._sweep()
                write_atomically(self._root / "oci-layout", _LAYOUT)
                for blob in (parts.layer, parts.config, parts.manifest):
                    self._put_blob(blob)
                self._put_entry(parts)
        except OSError as exc:
            if exc.errno == errno.ENOSPC:
                sentence = f"The disk with {self._root} is full; free some space and build again."
            else:
                sentence = f"The image could not be written to {self._root}: {exc.strerror}."
            raise BuildFailed("package", sentence) from exc
        return parts.manifest.digest

    def size_bytes(self, digest: str) -> int:
        """Bytes of all its blobs. Raises ImageDamaged."""
        manifest = self._read(digest)
        described = _descriptors(digest, manifest)
        return len(manifest) + sum(int(descriptor["size"]) for descriptor in described)

    def verify(self, digest: str) -> bool:
        try:
            self._contents(digest)
        except ImageDamaged:
            return False
        return True

    def document(self, digest: str) -> dict[str, Any]:
        """The image's /reflexdb/manifest.json. Raises ImageDamaged."""
        return self._contents(digest)[1]

    def plan(self, digest: str) -> Plan:
        try:
            return Plan.from_json(self.document(digest)["plan"])
        except (KeyError, TypeError, ValueError) as exc:
            raise _damaged(digest, "its manifest holds no plan of this version") from exc

    def unpack(self, digest: str, directory: Path) -> Path:
        binary, _ = self._contents(digest)
        target = directory / SERVER_PATH
        directory.mkdir(parents=True, exist_ok=True)
        write_atomically(target, binary, mode=0o755)
        return target

    def remove(self, digest: str) -> None:
        """Forget an image and what only it used. An unknown digest is fine."""
        if not self._index.exists():
            return
        with locked(self._root / ".lock"):
            entries = [entry for entry in self._entries() if entry["digest"] != digest]
            self._write_index(entries)
            self._sweep()

    def _contents(self, digest: str) -> tuple[bytes, dict[str, Any]]:
        """The binary and the manifest document, after every byte of the image was compared with its digest."""
        if not any(entry["digest"] == digest for entry in self._entries()):
            raise _damaged(digest, "it is not in the store")
        config, layer = _descriptors(digest, self._read(digest))
        self._read(config["digest"], config["size"])
        content = self._read(layer["digest"], layer["size"])
        try:
            document = json.loads(extract(content, MANIFEST_PATH))
            binary = extract(content, SERVER_PATH)
            intact = document["binary"]["sha256"] == hashlib.sha256(binary).hexdigest()
        except (KeyError, TypeError, ValueError, tarfile.TarError) as exc:
            raise _damaged(digest, "its layer does not hold a server and its manifest") from exc
        if not intact:
            raise _damaged(digest, "the server is not the one its manifest describes")
        return binary, document

    def _read(self, digest: str, size: int | None = None) -> bytes:
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ImageDamaged(f"{digest!r:.100} is not a digest of the form sha256:<64 hex digits>.")
        path = self._path(digest)
        try:
            if size is not None and path.stat().st_size != size:
                raise _damaged(digest, "its size differs")
            content = path.read_bytes()
        except OSError as exc:
            raise _damaged(digest, f"it could not be read ({exc.strerror})") from exc
        if hashlib.sha256(content).hexdigest() != digest.removeprefix("sha256:"):
            raise _damaged(digest, "its bytes do not match the digest")
        return content

    def _path(self, digest: str) -> Path:
        return self._blobs / digest.removeprefix("sha256:")

    def _put_blob(self, blob: Blob) -> None:
        try:
            self._read(blob.digest)
        except ImageDamaged:
            write_atomically(self._path(blob.digest), blob.content)

    def _put_entry(self, parts: ImageParts) -> None:
        digest = parts.manifest.digest
        entry = parts.manifest.descriptor() | {
            "platform": {"architecture": parts.architecture, "os": "linux"},
            "annotations": {"org.opencontainers.image.ref.name": digest.removeprefix("sha256:")[:12]},
        }
        others = [other for other in self._entries() if other["digest"] != digest]
        self._write_index(sorted([*others, entry], key=lambda one: str(one["digest"])))

    def _entries(self) -> list[dict[str, Any]]:
        """What the index names. An index that cannot be read names nothing: images are made again, never guessed."""
        try:
            entries = json.loads(self._index.read_bytes())["manifests"]
        except (OSError, KeyError, TypeError, ValueError):
            return []
        if not isinstance(entries, list):
            return []
        return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("digest"), str)]

    def _write_index(self, entries: list[dict[str, Any]]) -> None:
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}
        write_atomically(self._index, canonical_json(index))

    def _sweep(self) -> None:
        """Remove blobs that no image of the index uses, and what an interrupted write left. Only under the lock."""
        used = set()
        for entry in self._entries():
            used.add(entry["digest"])
            try:
                used.update(
                    descriptor["digest"] for descriptor in _descriptors(entry["digest"], self._read(entry["digest"]))
                )
            except ImageDamaged:
                continue
        for path in self._blobs.iterdir():
            if f"sha256:{path.name}" not in used:
                path.unlink(missing_ok=True)
        for path in self._root.glob(f"{TEMPORARY_PREFIX}*"):
            path.unlink(missing_ok=True)
        sync_directory(self._blobs)


def _descriptors(digest: str, manifest: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Config and layer of a manifest that this store wrote."""
    try:
        document = json.loads(manifest)
        config, (layer,) = document["config"], document["layers"]
        known = (document["mediaType"], config["mediaType"], layer["mediaType"]) == (
            MANIFEST_TYPE,
            CONFIG_TYPE,
            LAYER_TYPE,
        )
        complete = all(isinstance(part["digest"], str) and isinstance(part["size"], int) for part in (config, layer))
    except (KeyError, TypeError, ValueError) as exc:
        raise _damaged(digest, "its manifest cannot be read") from exc
    if not (known and complete):
        raise _damaged(digest, "its manifest is of another kind")
    return config, layer


def _damaged(digest: str, why: str) -> ImageDamaged:
    return ImageDamaged(f"The stored image {digest:.100} cannot be used: {why}; rebuild it.")
