"""What a person or a program sees: tables and notes, or JSON and nothing else.

Used by every command. Names come from users and sources, so control characters are shown, never sent to the terminal,
and nothing of theirs is read as markup. Standard output carries results; everything said on the way goes to standard
error. Without a terminal, or with NO_COLOR, no escape sequence is written at all.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import IO, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

UNBOUNDED_WIDTH = 10_000
HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
JOINER = "\u200d"
STATUS_STYLES = {
    "running": "green",
    "ok": "green",
    "succeeded": "green",
    "failed": "red",
    "unreachable": "red",
    "cap_exceeded": "red",
    "degraded": "yellow",
}


def console(stream: IO[str]) -> Console:
    """A console for one stream: colours only where a person looks, no truncation where a program does."""
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    if plain or not stream.isatty():
        width = None if stream.isatty() else UNBOUNDED_WIDTH
        return Console(file=stream, color_system=None, width=width, force_terminal=False, highlight=False, emoji=False)
    return Console(file=stream, highlight=False, emoji=False)


def out() -> Console:
    return console(sys.stdout)


def err() -> Console:
    return console(sys.stderr)


def safe(value: object) -> str:
    """Text with every invisible or control character shown as an escape. Joined emoji stay whole."""
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character == JOINER or unicodedata.category(character) not in HIDDEN_CATEGORIES:
        return character
    return character.encode("unicode_escape").decode("ascii")


def note(message: str) -> None:
    """One line on standard error, for people."""
    err().print(Text(safe(message)), soft_wrap=True)


def say(message: str) -> None:
    """One line of a result on standard output."""
    out().print(Text(safe(message)), soft_wrap=True)


def print_json(value: Any) -> None:
    """Exactly one JSON document on standard output, in ASCII, so that no terminal or encoding can spoil it."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table on standard output, or on standard error the sentence that there is nothing."""
    listed = list(rows)
    if not listed:
        note(empty)
        return
    grid = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for heading in headings:
        grid.add_column(heading, overflow="fold")
    for row in listed:
        grid.add_row(*(cell(value) for value in row))
    _print(grid)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values under each other, those without a value left out."""
    grid = Table(box=None, pad_edge=False, show_header=False, show_edge=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value not in (None, "", []):
            grid.add_row(Text(name), cell(value))
    _print(grid)


def _print(grid: Table) -> None:
    """A grid without the blanks that fill up its last column."""
    target = out()
    with target.capture() as captured:
        target.print(grid)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def cell(value: object) -> Text:
    """One value of a table: words for people, a colour for a state."""
    if value is None:
        return Text("-", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, list | tuple):
        return Text(", ".join(safe(item) for item in value))
    text = safe(value)
    return Text(text, style=STATUS_STYLES.get(text, ""))


def when(stamp: str | None) -> str | None:
    """An instant of the API as people write it, still in UTC."""
    if not stamp:
        return None
    try:
        return datetime.fromisoformat(stamp).strftime("%Y-%m-%d %H:%M:%SZ")
    except ValueError:
        return stamp
