"""Options and small questions that several commands share, each with one spelling and one help text."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.output import err, safe

PASSWORD_VARIABLE = "REFLEXDB_SOURCE_PASSWORD"  # noqa: S105 - the variable's name

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Waiting = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done, showing progress.")]
Timeout = Annotated[float, typer.Option("--timeout", min=1, help="Longest wait, in seconds.")]
DatabaseArgument = Annotated[
    str, typer.Argument(metavar="DATABASE", help="Name or id; connection/name where a name is used twice.")
]
ConnectionArgument = Annotated[str, typer.Argument(metavar="CONNECTION", help="Name or id.")]


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is destroyed. Without a terminal to ask on, --yes is needed."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise CommandFailed(Exit.USAGE, f"{question} Nobody can be asked here; say --yes.")
    if not typer.confirm(safe(question), err=True):
        raise CommandFailed(Exit.FAILED, "nothing was done")


def source_password(user: str, *, from_stdin: bool) -> str:
    """The source's password: from standard input, the environment or a prompt that does not echo; never from the
    arguments."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise CommandFailed(Exit.USAGE, "--password-stdin was given, but the first line of standard input is empty")
        return password
    if password := os.environ.get(PASSWORD_VARIABLE):
        return password
    if not sys.stdin.isatty():
        raise CommandFailed(
            Exit.USAGE, f"no password for the source: set {PASSWORD_VARIABLE}, or give it with --password-stdin"
        )
    return err().input(f"Password of {safe(user)}: ", password=True, markup=False)
