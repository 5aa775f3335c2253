"""How waiting looks: a spinner with the phase and the log's last line where a person watches, plain lines where a log
does.

Used by everything that waits: builds, deployments, the demo's steps. Writes to standard error only, so that a result on
standard output stays clean; `Quiet` writes nothing at all, for --json.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from reflexdb.cli.output import err, note, safe


class Progress(Protocol):
    """A row of phases, one after another, each with lines of detail."""

    keeps_lines: bool
    """Whether the lines of detail are still to be seen when it is over."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def phase(self, name: str) -> None:
        """A new phase begins, and the one before it is done. The same name again is no news."""
        ...

    def line(self, text: str) -> None:
        """One line of detail of the present phase."""
        ...


def progress(*, quiet: bool = False) -> Progress:
    """The progress that fits: none for programs, a spinner on a terminal, lines elsewhere."""
    if quiet:
        return Quiet()
    console = err()
    return Spinning(console) if console.is_terminal and sys.stderr.isatty() else Lines()


class Quiet:
    """Says nothing."""

    keeps_lines = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def phase(self, name: str) -> None:
        del name

    def line(self, text: str) -> None:
        del text


class Lines(Quiet):
    """One line a phase and one a line of detail."""

    keeps_lines = True

    def __init__(self) -> None:
        self._phase = ""

    def phase(self, name: str) -> None:
        if name != self._phase:
            self._phase = name
            note(name)

    def line(self, text: str) -> None:
        note(f"  {text}")


class Spinning:
    """The present phase with its time and last line, finished ones above it with a mark."""

    keeps_lines = False

    def __init__(self, console: Console) -> None:
        self._spinner = Spinner("dots", style="cyan")
        self._phase = ""
        self._line = ""
        self._since = time.monotonic()
        self._live = Live(console=console, refresh_per_second=10, transient=True, get_renderable=self._render)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._phase:
            self._finish(failed=kind is not None)
        self._live.stop()

    def phase(self, name: str) -> None:
        if name == self._phase:
            return
        if self._phase:
            self._finish(failed=False)
        self._phase, self._line, self._since = name, "", time.monotonic()

    def line(self, text: str) -> None:
        self._line = text

    def _finish(self, *, failed: bool) -> None:
        mark = ("✗ ", "bold red") if failed else ("✓ ", "bold green")
        took = (f"  {time.monotonic() - self._since:.1f} s", "dim")
        self._live.console.print(Text.assemble(mark, safe(self._phase), took))
        self._phase = ""

    def _render(self) -> Table | Text:
        if not self._phase:
            return Text("")
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        took = f"{time.monotonic() - self._since:.0f} s"
        grid.add_row(self._spinner, Text(safe(self._phase)), Text(f"{took}  {safe(self._line)}", style="dim"))
        return grid
