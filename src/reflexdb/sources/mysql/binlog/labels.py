"""Reads the labels of an ENUM or SET out of the type that information_schema tells.

The catalog is in a character set without the characters beyond U+FFFF, for which it has question marks, and has labels
of binary columns as question marks (MariaDB) or as hexadecimal numbers (MySQL). Such labels are not certain: the log
has them where binlog_row_metadata is FULL. Pure.
"""

from __future__ import annotations

import re

_LABEL = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
_HEXADECIMAL = re.compile(r"[(,]x'")
_ESCAPED = re.compile(r"''|\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "0": "\0"}


def labels_of(declared: str) -> tuple[str, ...]:
    """The labels of a type such as `enum('a','b')`, in their order."""
    return tuple(_ESCAPED.sub(_unescaped, label) for label in _LABEL.findall(declared))


def labels_are_certain(declared: str) -> bool:
    """Whether each label is as the column has it."""
    without = _LABEL.sub("''", declared)
    return not _HEXADECIMAL.search(without) and not any("?" in label for label in labels_of(declared))


def _unescaped(found: re.Match[str]) -> str:
    return "'" if found[1] is None else _ESCAPES.get(found[1], found[1])
