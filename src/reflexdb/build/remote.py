"""Where images are kept besides this machine, and how one gets there and back.

`Remote` is the small protocol of such a place: blobs by digest, manifests by tag. registry.py speaks to any registry of
the OCI distribution specification, aws.py to S3. Pushing is idempotent: what is there already is not sent again, and an
image's manifest goes last, so that what has a name is whole. Nothing that comes from outside is believed: every byte is
compared with its digest before it is given out. It refuses to know directories and keys.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

from reflexdb.build.base import Log
from reflexdb.build.image import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, Blob, ImageParts
from reflexdb.build.portable import short_tag
from reflexdb.build.signing import SignatureParts, read_signature, signature_tag
from reflexdb.model.errors import ImageDamaged, RegistryRefused

MAX_MANIFEST_BYTES = 4 << 20
MAX_LAYER_BYTES = 1 << 30


class Remote(Protocol):
    """Raises RegistryUnreachable, RegistryDenied or RegistryRefused from every method."""

    def address(self, digest: str) -> str:
        """What other tools call the image."""
        ...

    def put_blob(self, blob: Blob) -> bool:
        """False where it was there already."""
        ...

    def put_manifest(self, manifest: Blob, tag: str) -> None: ...

    def manifest(self, reference: str) -> bytes | None:
        """By tag or digest, at most MAX_MANIFEST_BYTES, not verified; None where there is none."""
        ...

    def blob(self, digest: str, size: int) -> bytes:
        """At most `size` bytes, not verified."""
        ...


@dataclass(frozen=True, slots=True)
class Pulled:
    """An image from outside, every byte as its digest says, and the signature that was beside it."""

    parts: ImageParts
    signature: SignatureParts | None


def push(remote: Remote, parts: ImageParts, signature: SignatureParts | None, log: Log) -> str:
    """Put an image, and its signature under cosign's tag, where `remote` is; returns its address there."""
    digest, address = parts.manifest.digest, remote.address(parts.manifest.digest)
    blobs = [parts.layer, parts.config, *((signature.payload, signature.config) if signature else ())]
    sent = [blob for blob in blobs if remote.put_blob(blob)]
    if signature is not None:
        remote.put_manifest(signature.manifest, signature_tag(digest))
    remote.put_manifest(parts.manifest, short_tag(digest))
    log(
        f"push: {address}, {sum(len(blob.content) for blob in sent):,} bytes sent, {len(blobs) - len(sent)} blobs known"
    )
    return address


def pull(remote: Remote, digest: str) -> Pulled:
    """Raises ImageDamaged where what is there is not what the digest names, RegistryRefused where nothing is there."""
    manifest = remote.manifest(digest)
    if manifest is None:
        raise RegistryRefused(f"{remote.address(digest)} is not there; push it, or rebuild")
    found = _verified(remote, MANIFEST_TYPE, manifest, digest)
    config, (layer,) = _descriptors(remote, digest, found)
    try:
        kinds = (config["mediaType"], layer["mediaType"])
        if kinds != (CONFIG_TYPE, LAYER_TYPE):
            raise _damaged(remote, digest, "it is not an image of ReflexDB")
        config_blob = _fetched(remote, config, MAX_MANIFEST_BYTES)
        architecture = str(json.loads(config_blob.content)["architecture"])
        parts = ImageParts(found, config_blob, _fetched(remote, layer, MAX_LAYER_BYTES), architecture)
    except (KeyError, TypeError, ValueError, RecursionError) as exc:
        raise _damaged(remote, digest, "its manifest or configuration cannot be read") from exc
    return Pulled(parts, _signature(remote, digest))


def _signature(remote: Remote, digest: str) -> SignatureParts | None:
    """Whether it is a good one is for those to say who have the keys; anything but a signature is passed over."""
    content = remote.manifest(signature_tag(digest))
    read = read_signature(content) if content is not None else None
    if content is None or read is None or read.subject != digest:
        return None
    try:
        document = json.loads(content)
        payload = _fetched(remote, document["layers"][0], MAX_MANIFEST_BYTES)
        config = _fetched(remote, document["config"], MAX_MANIFEST_BYTES)
    except (KeyError, TypeError, ValueError):
        return None
    return SignatureParts(Blob(MANIFEST_TYPE, content), config, payload)


def _descriptors(remote: Remote, digest: str, manifest: Blob) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        document = json.loads(manifest.content)
        config, (layer,) = document["config"], document["layers"]
    except (KeyError, TypeError, ValueError, RecursionError) as exc:
        raise _damaged(remote, digest, "its manifest is of another kind") from exc
    return config, [layer]


def _fetched(remote: Remote, descriptor: dict[str, Any], most: int) -> Blob:
    digest, size = str(descriptor["digest"]), int(descriptor["size"])
    if not 0 <= size <= most:
        raise _damaged(remote, digest, f"it says to have {size:,} bytes; {most:,} are taken")
    return _verified(remote, str(descriptor["mediaType"]), remote.blob(digest, size), digest)


def _verified(remote: Remote, media_type: str, content: bytes, digest: str) -> Blob:
    blob = Blob(media_type, content)
    if blob.digest != digest:
        raise _damaged(remote, digest, "its bytes do not match the digest")
    return blob


def _damaged(remote: Remote, digest: str, why: str) -> ImageDamaged:
    return ImageDamaged(f"What {remote.address(digest):.300} holds was refused: {why}; push it again, or rebuild.")
