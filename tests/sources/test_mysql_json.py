"""MySQL's binary JSON is printed as the server prints the value; the encoder here is the format's description."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reflexdb.sources.mysql.binlog.jsonb import text


def encoded(value: Any, wide: bool) -> tuple[int, bytes]:
    """Type and bytes of a value by the rules of the format."""
    if value is None or isinstance(value, bool):
        return 4, bytes(({None: 0, True: 1, False: 2}[value],))
    if isinstance(value, int):
        for kind, form, low, high in (
            (5, "<h", -(2**15), 2**15), (6, "<H", 0, 2**16), (7, "<i", -(2**31), 2**31), (8, "<I", 0, 2**32),
            (9, "<q", -(2**63), 2**63), (10, "<Q", 0, 2**64),
        ):  # fmt: skip
            if low <= value < high:
                return kind, struct.pack(form, value)
    if isinstance(value, float):
        return 11, struct.pack("<d", value)
    if isinstance(value, str):
        return 12, length(len(value.encode())) + value.encode()
    return container(value, wide)


def length(number: int) -> bytes:
    out = b""
    while number >= 128:
        out += bytes((number & 127 | 128,))
        number >>= 7
    return out + bytes((number,))


def container(value: Any, wide: bool) -> tuple[int, bytes]:
    is_object = isinstance(value, dict)
    form, width = ("<I", 4) if wide else ("<H", 2)
    keys = [key.encode() for key in value] if is_object else []
    values = list(value.values()) if is_object else value
    start = 2 * width + len(keys) * (width + 2) + len(values) * (1 + width)
    heads, bodies = b"", b""
    for key in keys:
        heads += struct.pack(form, start + len(bodies)) + struct.pack("<H", len(key))
        bodies += key
    for one in values:
        kind, data = encoded(one, wide)
        if kind in (4, 5, 6) or (wide and kind in (7, 8)):
            heads += bytes((kind,)) + data.ljust(width, b"\0")
        else:
            heads += bytes((kind,)) + struct.pack(form, start + len(bodies))
            bodies += data
    size = 2 * width + len(heads) + len(bodies)
    kind = (0 if is_object else 2) + (1 if wide else 0)
    return kind, struct.pack(form, len(values)) + struct.pack(form, size) + heads + bodies


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=200),
)
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=9), inner, max_size=5),
    ),
    max_leaves=30,
)


@given(documents, st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_value_is_printed_as_json_that_means_it(value: Any, wide: bool) -> None:
    kind, data = encoded(value, wide)

    assert json.loads(text(bytes((kind,)) + data)) == value


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("0001000c000b00010005010061", '{"a": 1}'),
        ("02020012000501000b0a00000000000000f03f", "[1, 1.0]"),
        ("0400", "null"),
        ("0401", "true"),
        ("0bb81e85eb51b89e3f", "0.03"),
        ("", "null"),
    ],
)
def test_known_bytes_are_printed_as_the_server_does(data: str, expected: str) -> None:
    assert text(bytes.fromhex(data)) == expected


def opaque(kind: int, content: bytes) -> bytes:
    return b"\x0f" + bytes((kind,)) + length(len(content)) + content


def temporal(year: int, month: int, day: int, clock: tuple[int, int, int], micro: int) -> bytes:
    hour, minute, second = clock
    packed = ((year * 13 + month) << 5 | day) << 17 | hour << 12 | minute << 6 | second
    return (packed << 24 | micro).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (opaque(246, b"\x05\x02" + b"\x80\x7b\x2d"), "123.45"),
        (opaque(10, temporal(2026, 4, 15, (0, 0, 0), 0)), '"2026-04-15"'),
        (opaque(12, temporal(2026, 4, 15, (1, 2, 3), 4)), '"2026-04-15 01:02:03.000004"'),
        (opaque(11, (-(1 << 36 | 2 << 30 | 3 << 24 | 5)).to_bytes(8, "little", signed=True)), '"-01:02:03.000005"'),
        (opaque(16, b"\x01\x02"), '"base64:type16:AQI="'),
    ],
    ids=["decimal", "date", "datetime", "time", "bit"],
)
def test_values_that_json_has_no_type_for_are_printed_as_the_server_does(data: bytes, expected: str) -> None:
    assert text(data) == expected


def test_a_value_nested_too_deeply_or_pointing_into_itself_is_refused() -> None:
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    kind, data = encoded(deep, False)

    with pytest.raises(ValueError, match="deeply"):
        text(bytes((kind,)) + data)
    with pytest.raises(ValueError, match="outside"):
        text(bytes.fromhex("0201000700020000"))
