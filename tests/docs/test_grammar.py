"""The grammar's page tells the truth: its examples through the real parser, its productions all defined and shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.harness import Cli, build
from tests.engine.plans import PLAN

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "grammar.md"
SPAN = re.compile(r"(`+)(?!`)(.*?[^`]`?)\1(?!`)")
TERMINAL = re.compile(r"\"[^\"]*\"|'[^']*'|\(\*.*?\*\)")
LEXICAL = {"letter", "digit", "hex", "character"}
PARAMETERS = (("id", "1"), ("n", "2"), ("after", ""))


def examples() -> list[tuple[str, str, str]]:
    found = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 3 and cells[0] != "production":
            found.append((cells[0], in_spans(cells[1]), in_spans(cells[2])))
    return found


def in_spans(cell: str) -> str:
    """The code in a cell; where there are several, each is a line."""
    return "\n".join(code for _, code in SPAN.findall(cell))


def productions() -> dict[str, set[str]]:
    """Each production's name, and the names on its right side."""
    text = "\n".join(line for line in PAGE.read_text().splitlines() if line.startswith("    "))
    text = TERMINAL.sub(" ", text)
    return {name: set(re.findall(r"[a-z]+", body)) for name, body in re.findall(r"([a-z]+)\s*=([^;]*);", text)}


@pytest.fixture(scope="module")
def world(pytestconfig: pytest.Config) -> Iterator[Cli]:
    process = Cli(build(PLAN, pytestconfig.cache.mkdir("engine")), PLAN)
    process.load({"users": [{"id": 1, "name": "Ada"}]})
    yield process
    process.close()


@pytest.mark.parametrize(("production", "good"), [(name, good) for name, good, _ in examples()])
def test_what_the_page_calls_accepted_is_answered(world: Cli, production: str, good: str) -> None:
    status, answer = world.ask_with(good, *PARAMETERS)

    assert status == 200, (production, good, answer)


@pytest.mark.parametrize(("production", "bad"), [(name, bad) for name, _, bad in examples()])
def test_what_the_page_calls_refused_is_a_syntax_error(world: Cli, production: str, bad: str) -> None:
    status, answer = world.ask_with(bad, *PARAMETERS)

    assert (status, answer["error"]) == (400, "syntax_error"), (production, bad, answer)
    assert answer["line"] >= 1
    assert answer["column"] >= 1


def test_every_production_is_shown_both_ways_and_every_word_is_defined() -> None:
    known = productions()

    assert {name for name, _, _ in examples()} == set(known)
    used = set().union(*known.values())
    assert used - LEXICAL == set(known) - {"query"}
