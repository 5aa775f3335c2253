"""The `demo` command: start, show, serve until Ctrl-C; or with --once, check everything and end."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from reflexdb.cli import output
from reflexdb.cli.demo.blog import Scale
from reflexdb.cli.demo.forms import FORMS
from reflexdb.cli.demo.plane import Plane, printed, running
from reflexdb.cli.demo.steps import Served, make_source, serve_source
from reflexdb.cli.demo.tour import tour
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.options import Json
from reflexdb.cli.progress import Progress, progress
from reflexdb.cli.watch import log_tail
from reflexdb.client import ClientError

SHOWN_BYTES = 400


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Ask and check everything, rebuild and roll back, then end.")
    ] = False,
    data: Annotated[Path, typer.Option(help="Where the demo keeps everything; emptied at each start.")] = Path(".demo"),
    as_json: Json = False,
) -> None:
    """From nothing to answered queries on a sample blog, then serve it until Ctrl-C."""
    begin = time.monotonic()
    place = data.absolute()
    if once:
        with progress(quiet=as_json) as show, from_nothing(place, show) as served:
            tour(served, show)
            show.phase("end: taking everything down")
        tell_success(time.monotonic() - begin, as_json=as_json)
        return
    with contextlib.ExitStack() as stack:
        with progress(quiet=as_json) as show:
            served = stack.enter_context(from_nothing(place, show))
        tell(served, as_json=as_json)
        with contextlib.suppress(KeyboardInterrupt):
            while served.plane.alive():
                time.sleep(0.2)
        if not served.plane.alive():
            raise CommandFailed(Exit.FAILED, "the control plane ended by itself")
    if not as_json:
        output.note("demo: ended; nothing is left running")


@contextlib.contextmanager
def from_nothing(place: Path, show: Progress) -> Iterator[Served]:
    """A served sample blog, taken down at the end. What goes wrong is raised with the end of the logs that explain
    it."""
    show.phase("control plane")
    with running(place) as plane:
        show.line(f"{plane.url}, everything under {place}")
        try:
            source = place / "blog.sqlite"
            make_source(source, Scale(), show)
            served = serve_source(plane, source, show)
            yield served
        except (ClientError, CommandFailed) as error:
            raise CommandFailed(Exit.FAILED, f"demo: {error.message}", explanation(plane)) from error


def explanation(plane: Plane) -> list[str]:
    """The log that says most: the build's where there is one, and else the control plane's."""
    if not plane.alive():
        return ["the control plane ended; it printed:", *(f"  {line}" for line in printed(plane.data))]
    with contextlib.suppress(ClientError, OSError), plane.client() as client:
        for database in client.list_databases():
            if lines := log_tail(client, database["id"]):
                return ["the build's log ends:", *(f"  {line}" for line in lines)]
    problems = plane.problems()
    return ["the control plane's log has:", *(f"  {line}" for line in problems)] if problems else []


def tell_success(seconds: float, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"ok": True, "seconds": round(seconds, 1)})
    else:
        output.say(f"demo: every answer was right, in {seconds:.0f} s")


def tell(served: Served, *, as_json: bool) -> None:
    """Endpoint, key and a line to paste for every form."""
    if as_json:
        output.print_json(
            {
                "controlPlane": served.plane.url,
                "data": str(served.plane.data),
                "databaseId": served.database_id,
                "endpoint": served.endpoint,
                "key": served.key,
                "queries": [form.text for form in FORMS],
            }
        )
        sys.stdout.flush()
        return
    console = output.out()
    output.facts([("endpoint", served.endpoint), ("key", served.key), ("control plane", served.plane.url)])
    for form in FORMS:
        console.print()
        console.print(Text(f"# form {form.number}: {form.shows}", style="dim"), soft_wrap=True)
        console.print(Text(curl_line(served, form.text)), soft_wrap=True)
    console.print()
    console.print(Text(f"# the command line, from another terminal\n{cli_line(served)}"), soft_wrap=True)
    console.print()
    sys.stdout.flush()
    output.note("serving; Ctrl-C ends it and everything it started")


def curl_line(served: Served, text: str) -> str:
    """One line for a shell; long answers are cut for the eye."""
    query = shlex.quote(text)
    return (
        f"curl -s {served.endpoint.rstrip('/')}/query -H {shlex.quote(f'Authorization: Bearer {served.key}')} "
        f"--data-binary {query} | head -c {SHOWN_BYTES}; echo"
    )


def cli_line(served: Served) -> str:
    program = Path(sys.executable).parent / "reflexdb"
    return f"REFLEXDB_DATA={shlex.quote(str(served.plane.data))} {shlex.quote(str(program))} status blog"
