"""What is shown, to a person and to a program."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexdb.cli.output import safe, table, when
from reflexdb.cli.query import indented
from tests.cli.conftest import Plane

ESCAPE = "\x1b"


@given(st.text())
def test_no_control_character_is_ever_shown(text: str) -> None:
    shown = safe(text)

    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)
    assert not any(character in shown for character in "\u202e\u2066\u200b\ufeff\u2028")


@pytest.mark.parametrize(
    "text", ["plain", "Jürgen 山田", "👩\u200d👩\u200d👧 family", "[bold]no markup[/bold]", "a\\b"]
)
def test_what_is_visible_is_shown_as_it_is(text: str) -> None:
    assert safe(text) == text


def test_a_table_takes_nothing_in_a_name_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table(["NAME"], [["[red]x[/red]"], [":smile:"], ["\x1b[2J"]], empty="")

    assert capsys.readouterr().out == "NAME\n[red]x[/red]\n:smile:\n\\x1b[2J\n"


def test_a_table_without_rows_is_a_sentence_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    table(["NAME"], [], empty="nothing yet")

    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "nothing yet\n")


def test_a_long_line_is_whole_where_no_person_looks(capsys: pytest.CaptureFixture[str]) -> None:
    table(["NAME", "ID"], [["x" * 500, "y" * 500]], empty="")

    assert "x" * 500 + "  " + "y" * 500 in capsys.readouterr().out


def test_numbers_of_an_answer_keep_every_digit() -> None:
    import json
    from decimal import Decimal

    text = '[{"a": 0.1000000000000000055511151231257827, "b": 18446744073709551615, "c": "0.5"}]'

    shown = indented(json.loads(text, parse_float=Decimal))

    assert "0.1000000000000000055511151231257827" in shown
    assert "18446744073709551615" in shown
    assert '"c": "0.5"' in shown


@pytest.mark.parametrize(
    ("stamp", "shown"),
    [("2026-04-15T12:00:03.123456Z", "2026-04-15 12:00:03Z"), (None, None), ("nonsense", "nonsense")],
)
def test_times_are_shown_in_utc(stamp: str | None, shown: str | None) -> None:
    assert when(stamp) == shown


def reflexdb(plane: Plane, *arguments: str, terminal: bool, **extra: str) -> str:
    """What a command writes to its standard output, being a terminal or not."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/", "REFLEXDB_DATA": str(plane.data), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "reflexdb.cli.main", *arguments]
    if not terminal:
        return subprocess.run(
            command, env=environment | extra, capture_output=True, text=True, check=True, timeout=60
        ).stdout
    ours, theirs = pty.openpty()
    try:
        subprocess.run(command, env=environment | extra, stdout=theirs, stderr=theirs, check=True, timeout=60)
        os.close(theirs)
        return read_all(ours)
    finally:
        os.close(ours)


def read_all(descriptor: int) -> str:
    parts = []
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # the kernel's way of saying that the other end is closed
            part = b""
        if not part:
            return b"".join(parts).decode()
        parts.append(part)


def test_colours_are_for_terminals_alone(plane: Plane, database: str) -> None:
    assert ESCAPE in reflexdb(plane, "database", "list", terminal=True)
    assert ESCAPE not in reflexdb(plane, "database", "list", terminal=False)


def test_no_color_is_obeyed_on_a_terminal(plane: Plane, database: str) -> None:
    assert ESCAPE not in reflexdb(plane, "database", "list", terminal=True, NO_COLOR="1")


def test_a_reader_that_goes_away_is_no_error(plane: Plane) -> None:
    script = f'"{sys.executable}" -m reflexdb.cli.main builds --help | head -n 1 >/dev/null; echo "${{PIPESTATUS[0]}}"'
    environment = {"PATH": os.environ["PATH"], "HOME": "/", "REFLEXDB_DATA": str(plane.data)}

    said = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )

    assert said.stdout.strip() in {"0", "1", "141"}
    assert "Traceback" not in said.stderr


def test_the_console_command_is_installed_beside_python() -> None:
    program = Path(sys.executable).parent / "reflexdb"
    if not program.exists():
        pytest.skip("needs the package installed in this environment (make setup)")

    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout

    assert said.startswith("reflexdb ")
