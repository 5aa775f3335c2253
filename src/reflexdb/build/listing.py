"""What an image store's `index.json` says: its images and their signatures, for other tools and for who asks what is
stored at all.

Called by the store, which keeps it true. Pure: it refuses to know files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from reflexdb.build.image import MANIFEST_TYPE, canonical_json
from reflexdb.build.manifests import descriptors
from reflexdb.build.portable import INDEX_TYPE, NAME_ANNOTATION, short_tag
from reflexdb.build.signing import PAYLOAD_TYPE, signature_tag
from reflexdb.model.errors import ImageDamaged

Read = Callable[[str], bytes]
"""A blob by its digest. Raises ImageDamaged."""


def index_document(manifests: Mapping[str, bytes], subjects: Mapping[str, str], read: Read) -> bytes:
    """`manifests` are the images'; `subjects` the images that are signed, by the digest of the signature's manifest."""
    entries = [_image(digest, manifest, read) for digest, manifest in manifests.items()]
    entries += [_signature(digest, subject, read) for digest, subject in subjects.items() if subject in manifests]
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries})


def _image(digest: str, manifest: bytes, read: Read) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "mediaType": MANIFEST_TYPE,
        "digest": digest,
        "size": len(manifest),
        "annotations": {NAME_ANNOTATION: short_tag(digest)},
    }
    with suppress(ImageDamaged, KeyError, TypeError, ValueError):
        config = json.loads(read(descriptors(digest, manifest)[0]["digest"]))
        entry["platform"] = {"architecture": config["architecture"], "os": config["os"]}
    return entry


def _signature(digest: str, subject: str, read: Read) -> dict[str, Any]:
    """Under the tag by which cosign looks for the signature of an image."""
    return {
        "mediaType": MANIFEST_TYPE,
        "artifactType": PAYLOAD_TYPE,
        "digest": digest,
        "size": len(read(digest)),
        "annotations": {NAME_ANNOTATION: signature_tag(subject)},
    }
