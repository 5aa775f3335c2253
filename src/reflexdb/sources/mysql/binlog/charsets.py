"""Turns text in one of MySQL's character sets into str, exactly as the server converts it to utf8mb4.

Unicode sets are decoded by Python; for all others the table is the server's own: it is asked once per set to convert
every byte (and every pair that begins with a lead byte), so that no difference between its tables and Python's can get
in. What a set does not allow becomes `?`, as the server does it; only utf8mb4, which the server does not convert, must
be right. Raises UnicodeDecodeError for broken utf8mb4.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable

Decode = Callable[[bytes], str]
_UNICODE = {"utf8": "utf-8", "utf8mb3": "utf-8", "ucs2": "utf-16-be", "utf16": "utf-16-be", "utf16le": "utf-16-le",
            "utf32": "utf-32-be", "ascii": "ascii"}  # fmt: skip
_UNITS = {"ucs2": 2, "utf16": 2, "utf16le": 2, "utf32": 4}
SINGLE_BYTE = frozenset(
    {
        "armscii8", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866", "dec8", "geostd8", "greek",
        "hebrew", "hp8", "keybcs2", "koi8r", "koi8u", "latin1", "latin2", "latin5", "latin7", "macce", "macroman",
        "swe7", "tis620",
    }
)  # fmt: skip
DOUBLE_BYTE = {"big5": "big5", "gbk": "gbk", "gb2312": "gb2312", "euckr": "euc_kr", "sjis": "shift_jis",
               "cp932": "cp932"}  # fmt: skip
"""Sets whose characters have one or two bytes."""


def question_mark(error: UnicodeError) -> tuple[str, int]:
    """The error handler: one `?` for one unit that the set does not allow."""
    assert isinstance(error, UnicodeDecodeError)
    unit = 2 if "16" in error.encoding else 4 if "32" in error.encoding else 1
    return "?", min(error.start + unit, len(error.object))


codecs.register_error("reflexdb.question", question_mark)


def needs_table(charset: str) -> bool:
    """Whether `decoder` wants the server's table for this set."""
    return charset in SINGLE_BYTE or charset in DOUBLE_BYTE


def decoder(charset: str, table: dict[bytes, str] | None = None) -> Decode | None:
    """How to decode a set; None for one that is not known. `table` is the server's answer for bytes and pairs."""
    if charset == "utf8mb4":
        return bytes.decode
    if charset in _UNICODE:
        codec = codecs.lookup(_UNICODE[charset]).decode
        return lambda data: codec(data, "reflexdb.question")[0]
    if table is None:
        return None
    if charset in SINGLE_BYTE:
        characters = [table.get(bytes((byte,)), "?") for byte in range(256)]
        if all(len(character) == 1 for character in characters):
            chart = "".join(characters)
            return lambda data: codecs.charmap_decode(data, "strict", chart)[0]
    return lambda data: _by_table(data, table)


def _by_table(data: bytes, table: dict[bytes, str]) -> str:
    out, at, end = [], 0, len(data)
    while at < end:
        pair = table.get(data[at : at + 2]) if at + 1 < end else None
        if pair is not None:
            out.append(pair)
            at += 2
            continue
        out.append(table.get(data[at : at + 1], "?"))
        at += 1
    return "".join(out)


def candidates(charset: str) -> list[bytes]:
    """The byte strings whose conversion makes up a set's table: single bytes, and pairs where there are such."""
    singles = [bytes((byte,)) for byte in range(256)]
    if charset in SINGLE_BYTE:
        return singles
    codec = DOUBLE_BYTE[charset]
    found = []
    for lead in range(0x80, 256):
        for trail in range(0x30, 256):
            pair = bytes((lead, trail))
            try:
                if len(pair.decode(codec)) == 1:
                    found.append(pair)
            except UnicodeDecodeError:
                continue
    alone = [single for single in singles if single[0] < 0x80 or _is_single(single, codec)]
    return alone + found


def _is_single(single: bytes, codec: str) -> bool:
    try:
        return len(single.decode(codec)) == 1
    except UnicodeDecodeError:
        return False
