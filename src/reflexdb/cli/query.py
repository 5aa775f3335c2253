"""`reflexdb query`: asks an instance as any client of it would, with an API key; the control plane only tells the
endpoint."""

from __future__ import annotations

import json
import re
import sys
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.highlighter import JSONHighlighter
from rich.text import Text

from reflexdb.cli import options, output, resolve
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.session import session
from reflexdb.client import ApiError, QueryClient

MARKED_NUMBER = re.compile('"\ue000([-+.0-9A-Za-z]+)\ue001"')
JSON_COLOURS = JSONHighlighter()


def query(
    context: typer.Context,
    database: options.DatabaseArgument,
    text: Annotated[str, typer.Argument(help="The query; - reads it from standard input.")] = "-",
    key: Annotated[
        str | None,
        typer.Option(envvar="REFLEXDB_API_KEY", show_envvar=True, help="An API key of the database."),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="The instance's address, where the control plane need not be asked.")
    ] = None,
    min_position: Annotated[
        str | None,
        typer.Option(help="Answer from a snapshot that has this position of the source: a GTID, an LSN, a version."),
    ] = None,
    wait_ms: Annotated[
        int | None, typer.Option(min=0, help="How long to wait for the position, in milliseconds.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Ask a query and show the answer; a flat one as a table."""
    if not key:
        raise CommandFailed(
            Exit.UNAUTHORIZED,
            f"no API key: make one with `reflexdb key create {output.safe(database)}`, and set REFLEXDB_API_KEY",
        )
    words = sys.stdin.read() if text == "-" else text
    with QueryClient(endpoint or endpoint_of(context, database), key) as instance:
        try:
            answer = instance.query_bytes(words, min_position=min_position, wait_ms=wait_ms)
        except ApiError as error:
            raise refused(error, words) from error
    if as_json:
        sys.stdout.buffer.write(answer if answer.endswith(b"\n") else answer + b"\n")
    else:
        show(json.loads(answer, parse_float=Decimal))


def endpoint_of(context: typer.Context, database: str) -> str:
    with session(context).client() as client:
        item = resolve.database(client, database)
    endpoint = item.get("endpointUrl")
    if not endpoint:
        raise CommandFailed(
            Exit.CONFLICT,
            f"database {item['name']} is {item['status']} and has no endpoint; `reflexdb provision` gives it one",
        )
    return endpoint


def refused(error: ApiError, text: str) -> CommandFailed | ApiError:
    """A refused query as one line with its position; anything else as it came."""
    line, column = error.detail.get("line"), error.detail.get("column")
    if not isinstance(line, int) or not isinstance(column, int):
        return error
    hint = error.detail.get("hint")
    where = f"line {line}, column {column}" if "\n" in text.strip() else f"column {column}"
    return CommandFailed(Exit.USAGE, f"{error.message} ({error.code} at {where})" + (f"; {hint}" if hint else ""))


def show(answer: Any) -> None:
    """A table where every row is flat and has the same fields; indented JSON otherwise."""
    if isinstance(answer, list) and answer and all(is_flat(row) for row in answer):
        headings = list(answer[0])
        if headings and all(list(row) == headings for row in answer):
            output.table(
                [output.safe(name) for name in headings],
                [[shown(row[name]) for name in headings] for row in answer],
                empty="",
            )
            return
    console = output.out()
    for line in indented(answer).splitlines():
        text = Text(output.safe(line))
        console.print(JSON_COLOURS(text) if console.color_system else text, soft_wrap=True)


def is_flat(row: Any) -> bool:
    return isinstance(row, dict) and not any(isinstance(value, dict | list) for value in row.values())


def shown(value: Any) -> str:
    """A scalar as JSON has it, without quotes around text."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


def indented(answer: Any) -> str:
    """JSON over several lines in which every number keeps the digits it came with, which no float would."""
    marked = json.dumps(answer, indent=2, ensure_ascii=False, default=lambda number: f"\ue000{number}\ue001")
    return MARKED_NUMBER.sub(r"\1", marked)
