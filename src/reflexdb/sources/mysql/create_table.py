"""Reads the foreign keys out of the text that SHOW CREATE TABLE answers, which a user with SELECT alone may ask for.

The text is the server's own, in the mode of our connections: names in backticks, strings in single quotes with
backslashes. It is taken apart into tokens, so that nothing within a name, a default or a comment is taken for a key.
Pure; raises ValueError for a text that is no such statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"`(?:[^`]|``)*`|'(?:[^'\\]|''|\\.)*'|\"(?:[^\"\\]|\"\"|\\.)*\"|[A-Za-z0-9_$\u0080-\U0010ffff]+|[^\s]", re.DOTALL
)
_RULES = ("CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION")


@dataclass(frozen=True, slots=True)
class KeyText:
    """One foreign key as its table's definition has it."""

    name: str
    columns: tuple[str, ...]
    schema: str | None
    """None where the parent is in the child's own schema."""
    table: str
    referenced: tuple[str, ...]
    on_delete: str
    on_update: str


def foreign_keys(statement: str) -> tuple[KeyText, ...]:
    """Every foreign key of the table that this statement would create."""
    return tuple(_key(element) for element in _elements(tokens(statement)) if "FOREIGN" in element[:3])


def tokens(text: str) -> list[str]:
    """Names in backticks, strings in quotes, words and single marks, without the blanks between."""
    return _TOKEN.findall(text)


def name_of(word: str) -> str:
    """The name that a word in backticks is."""
    if len(word) < 2 or word[0] != "`":
        raise ValueError(f"{word[:60]!r} stands where a name in backticks was expected")
    return word[1:-1].replace("``", "`")


def _elements(found: list[str]) -> Iterator[list[str]]:
    """What stands between the commas of the statement's outermost parentheses."""
    depth = 0
    element: list[str] = []
    for word in found:
        if word == ")":
            depth -= 1
            if depth == 0:
                yield element
                return
        if depth == 1 and word == ",":
            yield element
            element = []
        elif depth:
            element.append(word)
        if word == "(":
            depth += 1
    raise ValueError("the definition of a table has no end")


def _key(element: list[str]) -> KeyText:
    """CONSTRAINT `name` FOREIGN KEY (`a`) REFERENCES [`schema`.]`table` (`x`) [ON DELETE rule] [ON UPDATE rule]"""
    left = iter(element)
    _expect(left, "CONSTRAINT")
    name = name_of(next(left, ""))
    _expect(left, "FOREIGN", "KEY", "(")
    columns = _names(left)
    _expect(left, "REFERENCES")
    schema, table, mark = None, name_of(next(left, "")), next(left, "")
    if mark == ".":
        schema, table, mark = table, name_of(next(left, "")), next(left, "")
    if mark != "(":
        raise ValueError(f"a foreign key has {mark[:60]!r} after its table")
    referenced = _names(left)
    tail = " ".join(left).upper()
    return KeyText(name, columns, schema, table, referenced, _rule(tail, "ON DELETE "), _rule(tail, "ON UPDATE "))


def _expect(left: Iterator[str], *words: str) -> None:
    for expected in words:
        word = next(left, "")
        if word.upper() != expected:
            raise ValueError(f"a foreign key has {word[:60]!r} in place of {expected}")


def _names(left: Iterator[str]) -> tuple[str, ...]:
    """Names between commas, up to the closing parenthesis."""
    found: list[str] = []
    for word in left:
        if word == ")":
            return tuple(found)
        if word != ",":
            found.append(name_of(word))
    raise ValueError("the columns of a foreign key have no end")


def _rule(tail: str, event: str) -> str:
    """The rule for an event; RESTRICT is the servers' default."""
    place = tail.find(event)
    if place < 0:
        return "RESTRICT"
    rest = tail[place + len(event) :]
    return next((rule for rule in _RULES if rest.startswith(rule)), "CASCADE")
