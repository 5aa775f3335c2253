"""`reflexdb backup` and `reflexdb restore`: on a data directory of this machine, not through a control plane.

Like `serve` they start the server's own code: a restore happens where no control plane is, and a backup must not need
one that answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.output import note
from reflexdb.cli.serve import RECORDS_HELP, records_address
from reflexdb.cli.session import session

Data = Annotated[Path | None, typer.Option(help="The control plane's data directory.")]
Records = Annotated[str | None, typer.Option(envvar="REFLEXDB_RECORDS", help=RECORDS_HELP)]


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file to write; FILE.key beside it gets the key.")],
    data: Data = None,
    records: Records = None,
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="With the images of all builds, or with their names alone.")
    ] = True,
) -> None:
    """Write records, secrets, images and build logs of one moment into a file, also while the control plane works."""
    from reflexdb.control.backup import back_up, key_file
    from reflexdb.model.errors import ReflexError
    from reflexdb.records.address import records_url

    place = data or session(context).data
    try:
        done = back_up(place.absolute(), records_url(records_address(context, records)), file, images=images)
    except (ReflexError, OSError) as exc:
        raise CommandFailed(Exit.FAILED, f"no backup was made: {exc}") from exc
    note(f"{file}: {done.databases} databases, {done.images} images")
    for digest in done.missing_images:
        note(f"  not in the store, so not in the backup: image {digest}")
    note(f"{key_file(file)} opens the passwords in it: keep it apart from the backup, and do not lose it")


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file that `reflexdb backup` wrote.")],
    key: Annotated[Path | None, typer.Option(help="The backup's key; else FILE.key.")] = None,
    data: Annotated[Path | None, typer.Option(help="Where to; must be empty or not there.")] = None,
    records: Records = None,
) -> None:
    """Put a backup into an empty data directory, its records into SQLite there or into an empty PostgreSQL database."""
    from reflexdb.control.backup import key_file
    from reflexdb.control.backup import restore as put_back
    from reflexdb.model.errors import ReflexError
    from reflexdb.records.address import records_url

    place = (data or session(context).data).absolute()
    try:
        done = put_back(file, key or key_file(file), place, records_url(records_address(context, records)))
    except (ReflexError, OSError) as exc:
        raise CommandFailed(Exit.FAILED, f"nothing was restored: {exc}") from exc
    note(f"{place}: {done.databases} databases, {done.images} images; what ran runs again once it is served")
