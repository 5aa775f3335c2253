"""Pages that must say what the code says, and links that must lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from reflexdb.cli.main import app
from reflexdb.model import errors

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:^|[`$(]|\s)reflexdb ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)*)")
TARGET = re.compile(r"`make ([a-z-]+)|^    make ([a-z-]+)", re.MULTILINE)


def test_printed_pages_are_what_the_code_says() -> None:
    outcome = subprocess.run(
        [sys.executable, "tools/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    targets = [target.partition("#")[0] for target in LINK.findall(page.read_text()) if "://" not in target]

    assert [target for target in targets if target and not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)

    unknown = [words for words in COMMAND.findall(page.read_text()) if not known(root, words.split())]

    assert unknown == []


def known(group: TyperGroup, words: list[str]) -> bool:
    """Whether the words begin with a command; what follows are its arguments."""
    command = group.commands.get(words[0])
    if isinstance(command, TyperGroup):
        return len(words) == 1 or known(command, words[1:])
    return command is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    named = {one or other for one, other in TARGET.findall(page.read_text())}

    assert named - targets == set()


def test_every_make_target_of_the_help_is_one_that_exists() -> None:
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    named = {line.split()[1] for line in said.splitlines()[1:]}

    assert {"setup", "demo", "test", "check", "bench"} <= named <= targets


def test_the_architecture_page_names_every_room() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    rooms = [path.name for path in (ROOT / "src/reflexdb").iterdir() if path.is_dir() and path.name != "__pycache__"]

    assert [room for room in rooms if f"| `{room}` |" not in page] == []


def test_the_architecture_page_stays_short() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", sorted((ROOT / "docs/decisions").glob("*.md")), ids=lambda page: page.name)
def test_a_decision_is_at_most_forty_lines_and_has_its_parts(page: Path) -> None:
    text = page.read_text()

    assert len(text.splitlines()) <= 40
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", page.name)
    assert text.startswith("# ")


def test_decisions_are_numbered_once() -> None:
    numbers = [page.name[:4] for page in (ROOT / "docs/decisions").glob("*.md")]

    assert len(numbers) == len(set(numbers))


def test_every_error_code_has_its_entry() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text()
    codes = {
        kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ReflexError)
    }

    assert [code for code in sorted(codes) if f"| `{code}` |" not in page] == []


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text()
    pages = [page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")]

    missing = [
        str(page) for page in pages if f"({page})" not in index and page.parts[0] not in {"README.md", "decisions"}
    ]

    assert missing == []
