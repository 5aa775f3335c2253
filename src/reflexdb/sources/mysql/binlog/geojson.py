"""Prints the geometries of row images (a reference system's id and WKB) as the server's ST_AsGeoJSON does.

Numbers have the digits and the form the server gives them: MariaDB prints 1, MySQL 1.0. Pure; raises ValueError (or
struct.error) for bytes that are no geometry.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

_DOUBLES = {0: Struct(">dd"), 1: Struct("<dd")}
_FIXED_FORM = range(-14, 16)
"""How many digits may stand before the point (negative: zeros after it) before the server writes an exponent."""
_NAMES = {1: "Point", 2: "LineString", 3: "Polygon", 4: "MultiPoint", 5: "MultiLineString", 6: "MultiPolygon",
          7: "GeometryCollection"}  # fmt: skip
_DEEPEST = 32

Number = Callable[[float], str]


def mariadb_number(value: float) -> str:
    """A double as MariaDB prints it: the shortest digits, an exponent only for very large and small ones."""
    sign, digits, point = _decimal_digits(value)
    if point not in _FIXED_FORM:
        fraction = "." + digits[1:] if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{fraction}e{point - 1}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if point >= len(digits):
        return f"{sign}{digits}{'0' * (point - len(digits))}"
    return f"{sign}{digits[:point]}.{digits[point:]}"


def mysql_number(value: float) -> str:
    """A double as MySQL prints it in JSON: never mistaken for a whole number."""
    text = mariadb_number(value)
    return text if "." in text or "e" in text else text + ".0"


def _decimal_digits(value: float) -> tuple[str, str, int]:
    """Sign, shortest digits, and how many of them stand before the point."""
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("a number that is not finite")
    mantissa, _, exponent = repr(value).partition("e")
    sign, mantissa = ("-", mantissa[1:]) if mantissa[0] == "-" else ("", mantissa)
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    return (sign, digits, point) if digits else (sign, "0", 1)


def geojson(data: bytes, number: Number) -> str | None:
    """The geometry as GeoJSON; None for an empty value, which is no geometry."""
    if not data:
        return None
    text, _ = _geometry(data, 4, number, 0)
    return text


def _geometry(data: bytes, at: int, number: Number, depth: int) -> tuple[str, int]:
    if depth > _DEEPEST:
        raise ValueError("a geometry is nested too deeply")
    order, kind = data[at], _count(data, at + 1, data[at])
    if kind not in _NAMES:
        raise ValueError(f"geometry type {kind} is not known")
    at += 5
    if kind == 7:
        parts, at = _several(data, at, order, lambda inner: _geometry(data, inner, number, depth + 1))
        return f'{{"type": "GeometryCollection", "geometries": [{parts}]}}', at
    text, at = _coordinates(data, at, order, kind, number)
    return f'{{"type": "{_NAMES[kind]}", "coordinates": {text}}}', at


def _coordinates(data: bytes, at: int, order: int, kind: int, number: Number) -> tuple[str, int]:
    def point(inner: int) -> tuple[str, int]:
        x, y = _DOUBLES[order].unpack_from(data, inner)
        return f"[{number(x)}, {number(y)}]", inner + 16

    def line(inner: int) -> tuple[str, int]:
        text, end = _several(data, inner, order, point)
        return f"[{text}]", end

    def polygon(inner: int) -> tuple[str, int]:
        text, end = _several(data, inner, order, line)
        return f"[{text}]", end

    simple = {1: point, 2: line, 3: polygon}
    if kind in simple:
        return simple[kind](at)
    text, at = _several(data, at, order, lambda inner: simple[kind - 3](inner + 5))
    return f"[{text}]", at


def _several(data: bytes, at: int, order: int, one: Callable[[int], tuple[str, int]]) -> tuple[str, int]:
    count = _count(data, at, order)
    at += 4
    parts = []
    for _ in range(count):
        part, at = one(at)
        if at > len(data):
            raise ValueError("a geometry runs past its end")
        parts.append(part)
    return ", ".join(parts), at


def _count(data: bytes, at: int, order: int) -> int:
    if order not in _DOUBLES or at + 4 > len(data):
        raise ValueError("a geometry is cut short")
    return int.from_bytes(data[at : at + 4], "little" if order else "big")
