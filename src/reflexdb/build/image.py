"""The bytes of one OCI image, from a binary and its manifest document.

Called by the builders; store.py keeps what this returns. Pure and reproducible: one uncompressed layer (a tar's bytes
are defined, those of a compressed one depend on the compressor's version), entries sorted, times and owners fixed,
JSON canonical. It refuses to know files.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from typing import Any

SERVER_PATH = "reflex-server"
MANIFEST_PATH = "reflexdb/manifest.json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
USER = 65532


@dataclass(frozen=True, slots=True)
class Blob:
    media_type: str
    content: bytes

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.content).hexdigest()

    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}


@dataclass(frozen=True, slots=True)
class ImageParts:
    manifest: Blob
    config: Blob
    layer: Blob
    architecture: str

    @property
    def size_bytes(self) -> int:
        return sum(len(blob.content) for blob in (self.manifest, self.config, self.layer))


def canonical_json(document: Any) -> bytes:
    """One spelling for one document."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def assemble(binary: bytes, document: dict[str, Any], architecture: str, version: str) -> ImageParts:
    """`document` becomes /reflexdb/manifest.json; `version` is the product's."""
    layer = Blob(LAYER_TYPE, _layer(binary, canonical_json(document)))
    labels = {
        "org.opencontainers.image.title": "reflex-server",
        "org.opencontainers.image.version": version,
        "reflexdb.plan-fingerprint": str(document["plan_fingerprint"]),
    }
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": ["/reflex-server", "--dir", "/data", "--listen", "0.0.0.0:8080"],
            "ExposedPorts": {"8080/tcp": {}},
            "Labels": labels,
            "StopSignal": "SIGTERM",
            "User": f"{USER}:{USER}",
            "WorkingDir": "/data",
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
    }
    config_blob = Blob(CONFIG_TYPE, canonical_json(config))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config_blob.descriptor(),
        "layers": [layer.descriptor()],
        "annotations": labels,
    }
    return ImageParts(Blob(MANIFEST_TYPE, canonical_json(manifest)), config_blob, layer, architecture)


def extract(layer: bytes, path: str) -> bytes:
    """One regular file of a layer. Raises KeyError where it is missing, TarError where the layer is no tar."""
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:") as archive:
        member = archive.getmember(path)
        content = archive.extractfile(member) if member.isreg() else None
        if content is None:
            raise KeyError(path)
        return content.read()


def _layer(binary: bytes, manifest: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(_entry("data", 0o700, directory=True, owner=USER))
        archive.addfile(_entry(SERVER_PATH, 0o755, size=len(binary)), io.BytesIO(binary))
        archive.addfile(_entry("reflexdb", 0o755, directory=True))
        archive.addfile(_entry(MANIFEST_PATH, 0o644, size=len(manifest)), io.BytesIO(manifest))
    return buffer.getvalue()


def _entry(name: str, mode: int, *, size: int = 0, directory: bool = False, owner: int = 0) -> tarfile.TarInfo:
    """Times stay 0 and names of owners empty; only the data directory belongs to the user the server runs as."""
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    entry.size = size
    entry.type = tarfile.DIRTYPE if directory else tarfile.REGTYPE
    entry.uid = entry.gid = owner
    return entry
