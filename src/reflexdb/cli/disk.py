"""`reflexdb disk | admin disk`: what the images of a database, or all of them, take of the disk."""

from __future__ import annotations

import typer

from reflexdb.cli import options, output, resolve
from reflexdb.cli.session import session


def disk(context: typer.Context, database: options.DatabaseArgument, as_json: options.Json = False) -> None:
    """The images of a database that are stored, and what they take of the disk."""
    with session(context).client() as client:
        found = client.disk_use(resolve.database(client, database)["id"])
    if as_json:
        output.print_json(found)
        return
    output.table(
        ["IMAGE", "BYTES", "BUILDS", "PINNED"],
        [
            (each["digest"], each["bytes"], " ".join(f"#{number}" for number in each["builds"]), each["pinned"])
            for each in found["images"]
        ],
        empty="no image of this database is stored",
    )
    output.note(f"{found['bytes']:,} bytes in {len(found['images'])} images")


def store_disk(context: typer.Context, as_json: options.Json = False) -> None:
    """What all images take of the disk, what is free there, and which databases' images take most."""
    with session(context).operator() as client:
        found = client.store_disk_use()
    if as_json:
        output.print_json(found)
        return
    output.table(
        ["DATABASE", "IMAGES", "BYTES"],
        [(each["databaseId"], each["images"], each["bytes"]) for each in found["databases"]],
        empty="no databases yet",
    )
    if found["bytes"] is None or found["freeBytes"] is None:
        output.note(f"{found['images']} images; their store's disk can't be measured from here")
    else:
        output.note(f"{found['images']} images, {found['bytes']:,} bytes; {found['freeBytes']:,} bytes are free")
