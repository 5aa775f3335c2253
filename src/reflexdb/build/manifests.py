"""What a stored image's parts look like: digests, and the manifests that the image store writes.

Called by store.py, which keeps them. It refuses to know directories.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from reflexdb.build.image import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE
from reflexdb.model.errors import ImageDamaged

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def is_digest(text: object) -> bool:
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def begins_as_json(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(1) == b"{"
    except OSError:
        return False


def descriptors(digest: str, manifest: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
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
    except (KeyError, TypeError, ValueError, RecursionError) as exc:
        raise damaged(digest, "its manifest cannot be read") from exc
    if not (known and complete):
        raise damaged(digest, "its manifest is of another kind")
    return config, layer


def damaged(digest: str, why: str) -> ImageDamaged:
    return ImageDamaged(f"The stored image {digest:.100} cannot be used: {why}; rebuild it.")
