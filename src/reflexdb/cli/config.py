"""`reflexdb database config ...`: the reflexdb.yaml of a database, which the next provision or rebuild takes in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from reflexdb.cli import options, output, resolve
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.session import session
from reflexdb.client import ReflexClient

app = typer.Typer(help="The reflexdb.yaml of a database: get, set, remove, propose.", no_args_is_help=True)
MAX_CONFIG_BYTES = 1 << 20


@app.command("get")
def get_config(context: typer.Context, database: options.DatabaseArgument, as_json: options.Json = False) -> None:
    """Print the stored file."""
    with session(context).client() as client:
        text = client.get_config(resolve.database(client, database)["id"])
    if as_json:
        output.print_json({"config": text})
    else:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


@app.command("set")
def set_config(
    context: typer.Context,
    database: options.DatabaseArgument,
    file: Annotated[Path, typer.Argument(help="The file; - for standard input.")],
    as_json: options.Json = False,
) -> None:
    """Check a file, against the source too, and store it; a mistake in it is named with line and column."""
    text = read_config(file)
    with session(context).client() as client:
        item = resolve.database(client, database)
        checked = store_config(client, item["id"], text)
    if as_json:
        output.print_json({"database": item["id"], "config": "stored", "checked": checked})
    else:
        output.say(f"stored; `reflexdb rebuild {item['name']}` takes it in")


@app.command("rm")
def remove_config(context: typer.Context, database: options.DatabaseArgument, as_json: options.Json = False) -> None:
    """Remove the stored file; everything the source has is then included."""
    with session(context).client() as client:
        item = resolve.database(client, database)
        client.delete_config(item["id"])
    if as_json:
        output.print_json({"database": item["id"], "config": None})
    else:
        output.say("removed")


@app.command("propose")
def propose_config(context: typer.Context, database: options.DatabaseArgument, as_json: options.Json = False) -> None:
    """Print a file with relations that column names suggest, each checked against a sample of rows. Stores nothing."""
    with session(context).client() as client:
        proposal = client.propose_config(resolve.database(client, database)["id"])
    if as_json:
        output.print_json(proposal)
        return
    sys.stdout.write(proposal["config"])
    accepted = sum(relation["accepted"] for relation in proposal["relations"])
    output.note(f"{accepted} relations proposed; nothing is stored: `reflexdb database config set` does that")


def store_config(client: ReflexClient, database_id: str, text: str) -> bool:
    """Hold a file against the source and store it. Answers whether the source could be asked."""
    reason = client.check_config(database_id, text)["reason"]
    client.put_config(database_id, text)
    if reason is not None:
        output.note(f"reflexdb: not checked against the source, the next build does that: {reason}")
    return reason is None


def read_config(file: Path) -> str:
    """The text of a configuration file, or of standard input for `-`."""
    try:
        data = sys.stdin.buffer.read(MAX_CONFIG_BYTES + 1) if str(file) == "-" else file.read_bytes()
        text = data.decode()
    except OSError as error:
        raise CommandFailed(Exit.USAGE, f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandFailed(Exit.USAGE, f"{file} is not UTF-8 text (byte {error.start})") from error
    if len(data) > MAX_CONFIG_BYTES:
        raise CommandFailed(Exit.USAGE, f"{file} is larger than {MAX_CONFIG_BYTES} bytes")
    return text
