"""What is said of an image that was made again and is another."""

from __future__ import annotations

import json
from dataclasses import replace

from reflexdb.build.differences import differences
from reflexdb.build.image import MANIFEST_PATH, SERVER_PATH, ImageParts, assemble, extract

from .images import image


def document(made: ImageParts) -> dict[str, object]:
    found: dict[str, object] = json.loads(extract(made.layer.content, MANIFEST_PATH))
    return found


def compared(one: ImageParts, other: ImageParts) -> list[tuple[str, str | None, str]]:
    found = differences(one.manifest.digest, document(one), extract(one.layer.content, SERVER_PATH), other)
    return [(each.blob, each.file, each.at) for each in found]


def test_the_same_image_differs_in_nothing() -> None:
    assert compared(image(), image()) == []


def test_the_first_byte_of_a_server_that_differs_is_named() -> None:
    one, other = image(b"a" * 200_000), image(b"a" * 150_000 + b"b" + b"a" * 49_999)

    assert ("layer", "reflex-server", "byte 150000") in compared(one, other)
    assert ("layer", "reflex-server", "byte 3") in compared(image(b"abc"), image(b"abcd"))


def test_causes_come_before_what_comes_of_them() -> None:
    one = image()
    changed = {**document(one), "engine": {"version": "0.2.0", "key": "0" * 64}, "binary": {"sha256": "f" * 64}}
    other = assemble(b"other", changed, "amd64", "0.1.0")

    assert compared(one, other)[0] == ("layer", "reflexdb/manifest.json", "engine.version")
    assert compared(one, other)[-1] == ("layer", "reflex-server", "byte 0")


def test_another_way_of_packing_the_same_files_is_a_difference() -> None:
    one = image()
    other = assemble(b"\x7fELF", document(one), "arm64", "0.1.0")

    assert compared(one, other) == [("manifest", None, "how the image is packed")]


def test_a_whole_other_schema_is_told_in_few_lines() -> None:
    many = image()
    plan = {**document(many), "plan": {str(number): number for number in range(1_000)}}
    other = assemble(b"\x7fELF", plan, "amd64", "0.1.0")

    assert len(compared(many, replace(other))) <= 20
