"""Where an image that was made again is not the one that was made first.

Called by control. Given what the recorded image holds, compares from the causes to the effects: what its manifest says
it was made of, then the server's bytes, then how both were packed. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from reflexdb.build.image import MANIFEST_PATH, SERVER_PATH, ImageParts, extract

MAX_DIFFERENCES = 20
_MAX_SHOWN = 200
_CAUSES = ("format", "schema", "plan", "plan_fingerprint", "config_sha256", "engine", "compiler", "runtime", "archives")
"""Of the manifest, what goes into an image; the rest comes of it."""


@dataclass(frozen=True, slots=True)
class Difference:
    blob: str
    """`layer`, `config` or `manifest`."""
    file: str | None
    """In the layer."""
    at: str
    """The path of a value, `compiler.version`, or the number of a byte, `byte 4711`."""
    recorded: str | None
    rebuilt: str | None
    """None where it is not there at all, or says nothing to a person."""


def differences(digest: str, document: Mapping[str, Any], server: bytes, made: ImageParts) -> list[Difference]:
    """Of the recorded image, its digest, its manifest document and its server. Empty where the two are the same image,
    byte for byte."""
    if made.manifest.digest == digest:
        return []
    rebuilt = json_of(made)
    found = [*_values(document, rebuilt), *_bytes(server, extract(made.layer.content, SERVER_PATH))]
    if not found:
        found = [Difference("manifest", None, "how the image is packed", digest, made.manifest.digest)]
    return list(islice(found, MAX_DIFFERENCES))


def json_of(made: ImageParts) -> dict[str, Any]:
    """The manifest document of an image that is in memory."""
    document: dict[str, Any] = json.loads(extract(made.layer.content, MANIFEST_PATH))
    return document


def _values(recorded: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> Iterator[Difference]:
    names = [*_CAUSES, *sorted((recorded.keys() | rebuilt.keys()) - set(_CAUSES))]
    for name in names:
        for at, old, new in _unequal(name, recorded.get(name), rebuilt.get(name)):
            yield Difference("layer", MANIFEST_PATH, at, _shown(old), _shown(new))


def _unequal(at: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """The innermost values that differ, with their paths."""
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            yield from _unequal(f"{at}.{name}", old.get(name), new.get(name))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _unequal(f"{at}[{place}]", one, other)
    else:
        yield at, old, new


def _bytes(recorded: bytes, rebuilt: bytes) -> Iterator[Difference]:
    if recorded == rebuilt:
        return
    shorter = min(len(recorded), len(rebuilt))
    place, step = 0, 1 << 16
    while place < shorter and recorded[place : place + step] == rebuilt[place : place + step]:
        place += step
    pairs = zip(recorded[place:shorter], rebuilt[place:shorter], strict=True)
    at = next((place + offset for offset, (one, other) in enumerate(pairs) if one != other), shorter)
    yield Difference("layer", SERVER_PATH, f"byte {at}", f"{len(recorded)} bytes", f"{len(rebuilt)} bytes")


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
