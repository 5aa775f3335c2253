"""A YAML text as nodes with positions, or one clear sentence why it is none.

Called by model/config.py, the only reader of YAML. It uses PyYAML's composer and never its constructors, so no tag
can make an object; it bounds the size, the depth and the number of nodes, refuses anchors and aliases (what cannot be
referred to cannot multiply), several documents and duplicate keys. It refuses to know which keys mean what.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import yaml

from reflexdb.model.errors import InvalidConfig
from reflexdb.model.suggest import did_you_mean, quoted

MAX_BYTES = 1 << 20
MAX_DEPTH = 12
MAX_NODES = 200_000

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SURROGATE = re.compile("[\ud800-\udfff]")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


class _Mark(Protocol):
    """What PyYAML's two parsers have in common here; both count from 0."""

    @property
    def line(self) -> int: ...

    @property
    def column(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is in the text; both count from 1, columns in characters."""

    line: int
    column: int

    def error(self, sentence: str) -> InvalidConfig:
        return InvalidConfig(
            f"reflexdb.yaml, line {self.line}, column {self.column}: {sentence}", self.line, self.column
        )


@dataclass(frozen=True, slots=True)
class Word:
    """A text that someone wrote in the file, and where."""

    text: str
    at: Place


def compose(text: str) -> yaml.Node:
    """The root node of the only document in `text`. Raises InvalidConfig."""
    _check_characters(text)
    try:
        _check_structure(text)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as exc:
        raise _syntax_error(text, exc) from exc
    except (yaml.YAMLError, ValueError) as exc:
        raise Place(1, 1).error("This is not valid YAML.") from exc
    if root is None:
        raise Place(1, 1).error('The file is empty. It must at least say "version: 1".')
    return root


def place(node: yaml.Node) -> Place:
    return _at(node.start_mark)


def _at(mark: _Mark | None) -> Place:
    return Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)


def kind(node: yaml.Node) -> str:
    """What a node is, in words for a message."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return _SCALARS.get(node.tag.rpartition(":")[2], "a value with a tag")


_SCALARS = {
    "str": "text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "timestamp": "a date",
    "merge": "a merge key",
    "value": "a default key",
}


def entries(node: yaml.Node, what: str) -> list[tuple[Word, yaml.Node]]:
    """The keys and values of a mapping, keys unique and texts, in the file's order."""
    if not isinstance(node, yaml.MappingNode):
        raise place(node).error(f"{what} must be a mapping of keys to values, not {kind(node)}.")
    seen: dict[str, Place] = {}
    found: list[tuple[Word, yaml.Node]] = []
    for key_node, value in node.value:
        key = word(key_node, f"A key of {what[0].lower()}{what[1:]}")
        if key.text in seen:
            raise key.at.error(
                f"The key {quoted(key.text)} is there twice; the first is in line {seen[key.text].line}."
            )
        seen[key.text] = key.at
        found.append((key, value))
    return found


Rule = Callable[[yaml.Node, str], Any]
"""Takes a value and its description for messages, returns what it means. Raises InvalidConfig."""


def record(node: yaml.Node, what: str, rules: Mapping[str, Rule]) -> dict[str, Any]:
    """A mapping with known keys, each read by its rule."""
    values: dict[str, Any] = {}
    for key, value in entries(node, what):
        rule = rules.get(key.text)
        if rule is None:
            known = ", ".join(rules)
            hint = did_you_mean(key.text, rules) or f" Known here: {known}."
            raise key.at.error(f"{what} has no key {quoted(key.text)}.{hint}")
        values[key.text] = rule(value, quoted(key.text))
    return values


def items(node: yaml.Node, what: str) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode):
        raise place(node).error(f"{what} must be a list, not {kind(node)}.")
    return list(node.value)


def word(node: yaml.Node, what: str) -> Word:
    """A scalar that YAML reads as text. A number, a date or `on` is refused with the advice to quote it."""
    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str":
        if _SURROGATE.search(node.value):
            raise place(node).error(
                f"{what} is not valid Unicode; write the character itself or \\U and its 8 hex digits."
            )
        return Word(node.value, place(node))
    hint = ""
    if isinstance(node, yaml.ScalarNode) and node.value:
        hint = f" If {quoted(node.value)} is meant as text, put it in quotes."
    raise place(node).error(f"{what} must be text, not {kind(node)}.{hint}")


def _check_characters(text: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise Place(1, 1).error(f"The file has {size:,} bytes; at most {MAX_BYTES:,} are allowed.")
    match = _FORBIDDEN.search(text, 1 if text.startswith("\ufeff") else 0)
    if match:
        before = text[: match.start()]
        column = match.start() - (before.rfind("\n") + 1) + 1
        at = Place(before.count("\n") + 1, column)
        raise at.error(
            f"The character U+{ord(match.group()):04X} is not allowed; write it as an escape in double quotes."
        )


def _check_structure(text: str) -> None:
    """Anchors, depth, number of nodes and of documents, from the event stream: nothing here recurses."""
    depth = nodes = documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        at = _at(event.start_mark)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise at.error("Anchors and aliases (&name, *name) are not supported; write the value out.")
        nodes += isinstance(event, yaml.NodeEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise at.error(f"The nesting is deeper than {MAX_DEPTH} levels.")
        if nodes > MAX_NODES:
            raise at.error(f"The file has more than {MAX_NODES:,} values.")
        if documents > 1:
            raise at.error('A second document begins here; the file must be one document, without "---" in between.')


def _syntax_error(text: str, exc: yaml.MarkedYAMLError) -> InvalidConfig:
    mark = exc.problem_mark or exc.context_mark
    at = _at(mark)
    lines = text.splitlines()
    line = lines[at.line - 1] if at.line <= len(lines) else ""
    if "\t" in line[: max(at.column, len(line) - len(line.lstrip()))]:
        return at.error("A tab cannot be used for indentation in YAML; use spaces.")
    problem = (exc.problem or "unexpected character").strip()
    context = f" {exc.context.strip()}" if exc.context else ""
    return at.error(f"This is not valid YAML: {problem}{context}.")
