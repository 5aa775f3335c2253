"""Asks MySQL and MariaDB which characters their collations take for equal.

The server knows: WEIGHT_STRING gives what it compares. A collation that joins letters (in Danish, aa is å) can't be
told by single characters; it is not described. The answer never changes for a collation of a server's version, so it
is kept as long as the process lives. Needs no privilege.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from string import ascii_letters
from typing import Any

from pymysql.connections import Connection

from reflexdb.model.folding import UNICODE_END, Elements, Folding, folding

Weight = bytes
_NAME = re.compile(r"[0-9A-Za-z]+_[0-9A-Za-z_]+")
_LAST = (0x20000, 0x2A6D6, 0x30000, 0xE0FFF, 0xF0000, UNICODE_END - 1)
"""Characters that stand for all others beyond the first two planes."""
_ASKED = f"n < 131072 OR n BETWEEN 194560 AND 195103 OR n BETWEEN 917504 AND 917999 OR n IN {_LAST}"
"""Whole planes of letters, the compatibility ideographs, and the tags and variants that are ignored."""
_DIGITS = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(16))
_PLANES = " UNION ALL ".join(f"SELECT {plane} AS d" for plane in (0, 1, 2, 3, 14, 15, 16))
_NUMBERS = f"""
    SELECT a.d + 16 * b.d + 256 * c.d + 4096 * e.d + 65536 * f.d AS n
    FROM ({_DIGITS}) a, ({_DIGITS}) b, ({_DIGITS}) c, ({_DIGITS}) e, ({_PLANES}) f"""  # noqa: S608 - numbers
_LETTERS = " UNION ALL ".join(f"SELECT '{letter}' AS l" for letter in ascii_letters)
_SIZE = "SELECT maxlen FROM information_schema.character_sets WHERE character_set_name = %s"
_UNIT = _LEVEL_END = b"\0\0"
_SHARP_S = 0xDF
_kept: dict[tuple[str, str], Folding | None] = {}


def foldings(connection: Connection[Any], version: str, collations: Iterable[str]) -> tuple[Folding, ...]:
    """Those of the collations that can be described exactly."""
    found = []
    for collation in sorted(set(collations)):
        key = (version, collation)
        if key not in _kept:
            _kept[key] = _described(connection, collation)
        if (kept := _kept[key]) is not None:
            found.append(kept)
    return tuple(found)


def _described(connection: Connection[Any], collation: str) -> Folding | None:
    if not _NAME.fullmatch(collation):
        return None
    sizes = _rows(connection, _SIZE, _set_of(collation))
    weights = _weights(connection, collation)
    parts = _Parts(weights, is_single_byte=sizes == [(1,)])
    keys = {character: parts.of(weight) for character, weight in weights.items()}
    if not _is_by_character(connection, collation, weights, parts):
        return None
    given = _canonical(keys)
    pads = not ("_0900_" in collation or "nopad" in collation)
    return folding(collation, {**given, **_rest(keys, given)}, pads=pads)


class _Parts:
    """Takes a weight apart into what is compared one after the other."""

    def __init__(self, weights: Mapping[int, Weight], *, is_single_byte: bool) -> None:
        self._is_single_byte = is_single_byte
        self._is_unicode = not self._is_single_byte and len(weights.get(_SHARP_S, b"")) >= len(2 * _UNIT)
        """By the Unicode Collation Algorithm, which takes that letter for two."""

    def of(self, weight: Weight) -> tuple[Weight, ...]:
        if self._is_single_byte:
            return tuple(weight[at : at + 1] for at in range(len(weight)))
        if not self._is_unicode:
            return (weight,)
        units = [weight[at : at + 2] for at in range(0, len(weight), 2)]
        if _LEVEL_END not in units:
            return _joined(units)
        levels: list[list[Weight]] = [[]]
        for unit in units:
            if unit == _LEVEL_END:
                levels.append([])
            else:
                levels[-1].append(unit)
        by_element = zip_longest(_joined(levels[0]), *levels[1:], fillvalue=b"")
        return tuple(_LEVEL_END.join(element) for element in by_element)

    def follow(self, first: Weight, second: Weight, both: Weight) -> bool:
        """Whether two characters side by side weigh what they weigh alone."""
        if not self._is_unicode:
            return both == first + second
        return self.of(both) == self.of(first) + self.of(second)


def _joined(units: list[Weight]) -> tuple[Weight, ...]:
    """An ideograph's weight is two units that make one."""
    joined: list[Weight] = []
    for unit in units:
        if joined and len(joined[-1]) == 2 and joined[-1][0] == 0xFB:
            joined[-1] += unit
        else:
            joined.append(unit)
    return tuple(joined)


def _set_of(collation: str) -> str:
    """The character set, which its name begins with."""
    return collation.partition("_")[0]


def _canonical(keys: Mapping[int, tuple[Weight, ...]]) -> dict[int, Elements]:
    """Each part of a weight as the first character that has no other, or as a number beyond the characters."""
    element: dict[Weight, int] = {}
    for character in sorted(keys):
        if len(keys[character]) == 1:
            element.setdefault(keys[character][0], character)
    beyond = UNICODE_END
    given = {}
    for character, parts in sorted(keys.items()):
        for part in parts:
            if part not in element:
                element[part] = beyond
                beyond += 1
        given[character] = tuple(element[part] for part in parts)
    return given


def _rest(keys: Mapping[int, tuple[Weight, ...]], given: Mapping[int, Elements]) -> dict[int, Elements]:
    """Characters that were not asked for have weights of their own, or all have the same, and then are here."""
    last = [keys[character] for character in _LAST if character in keys]
    if not last or any(parts != last[0] for parts in last):
        return {}
    return dict.fromkeys(range(0x20000, UNICODE_END), given[_LAST[0]])


def _weights(connection: Connection[Any], collation: str) -> dict[int, Weight]:
    """Of every character that the collation's character set has."""
    original = "CONVERT(UNHEX(LPAD(HEX(n), 8, '0')) USING utf32)"
    statement = f"""
        SELECT n, WEIGHT_STRING(s COLLATE {collation})
        FROM (SELECT n, {original} AS o, CONVERT({original} USING {_set_of(collation)}) AS s FROM ({_NUMBERS}) numbers
              WHERE n NOT BETWEEN 55296 AND 57343 AND ({_ASKED})) characters
        WHERE CAST(CONVERT(s USING utf32) AS BINARY) = CAST(o AS BINARY)"""  # noqa: S608 - our words, the checked name
    return {int(number): weight for number, weight in _rows(connection, statement) if weight is not None}


def _is_by_character(connection: Connection[Any], collation: str, weights: Mapping[int, Weight], parts: _Parts) -> bool:
    """Whether two letters side by side weigh what they weigh alone."""
    statement = f"""
        SELECT a.l, b.l, WEIGHT_STRING(CONVERT(CONCAT(a.l, b.l) USING {_set_of(collation)}) COLLATE {collation})
        FROM ({_LETTERS}) a, ({_LETTERS}) b"""  # noqa: S608 - our words, the checked name
    return all(
        parts.follow(weights[ord(first)], weights[ord(second)], weight)
        for first, second, weight in _rows(connection, statement)
    )


def _rows(connection: Connection[Any], statement: str, *arguments: str) -> list[tuple[Any, ...]]:
    """The statement holds numbers and the checked name of a collation."""
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments or None)
        return list(cursor.fetchall())
