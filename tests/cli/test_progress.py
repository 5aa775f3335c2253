"""How waiting looks: on a terminal, in a log, and for a program."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from reflexdb.cli.progress import Lines, Quiet, Spinning, progress


def spinning() -> tuple[Spinning, io.StringIO]:
    stream = io.StringIO()
    return Spinning(Console(file=stream, force_terminal=True, color_system=None, width=80)), stream


def test_a_spinner_marks_what_is_done() -> None:
    show, stream = spinning()

    with show:
        show.phase("first")
        show.line("detail")
        show.phase("second \x1b[31m")

    assert "✓ first" in stream.getvalue()
    assert "✓ second \\x1b[31m" in stream.getvalue()
    assert "✗" not in stream.getvalue()


def test_a_spinner_marks_the_phase_that_failed() -> None:
    show, stream = spinning()

    def fail() -> None:
        with show:
            show.phase("first")
            show.phase("second")
            raise ValueError("as a build does")

    with pytest.raises(ValueError, match="as a build does"):
        fail()
    assert "✓ first" in stream.getvalue()
    assert "✗ second" in stream.getvalue()


def test_a_log_gets_each_phase_once_and_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines() as show:
        show.phase("building")
        show.phase("building")
        show.line("one\ntwo")

    said = capsys.readouterr()
    assert said.err == "building\n  one\\ntwo\n"
    assert said.out == ""


def test_a_program_gets_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet=True) as show:
        assert isinstance(show, Quiet)
        show.phase("building")
        show.line("one")

    assert capsys.readouterr() == ("", "")
