"""`reflexdb signing-key ...` for everyone, `reflexdb admin signing-key ...` for the operator: the keys of images."""

from __future__ import annotations

from typing import Annotated

import typer

from reflexdb.cli import options, output
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.session import session
from reflexdb.client.evidence_types import SigningKey

app = typer.Typer(help="Public keys by which images can be checked: list, show.", no_args_is_help=True)
admin_app = typer.Typer(help="The key that signs images: rotate, remove.", no_args_is_help=True)
SHORTEST = 6
"""Digits of a key's id that name it, where no other begins alike."""


@app.command("list")
def list_keys(context: typer.Context, as_json: options.Json = False) -> None:
    """The keys whose signatures are trusted, the one that signs now first."""
    with session(context).client() as client:
        keys = client.list_signing_keys()
    if as_json:
        output.print_json(keys)
        return
    output.table(
        ["KEY", "STATE", "CREATED", "RETIRED"],
        [
            (key["keyId"], "active" if key["active"] else "retired", output.when(key["createdAt"]), retired(key))
            for key in keys
        ],
        empty="no signing keys",
    )


def retired(key: SigningKey) -> str | None:
    return output.when(key["retiredAt"]) if key["retiredAt"] else None


@app.command()
def show(
    context: typer.Context,
    key: Annotated[str | None, typer.Argument(help="Key id, or how it begins; the active one else.")] = None,
    as_json: options.Json = False,
) -> None:
    """A public key as PEM, for openssl and cosign."""
    with session(context).client() as client:
        chosen = choose(client.list_signing_keys(), key)
    if as_json:
        output.print_json(chosen)
    else:
        for line in chosen["publicKey"].splitlines():
            output.say(line)


@admin_app.command()
def rotate(context: typer.Context, as_json: options.Json = False) -> None:
    """Sign with a new key from now on; what earlier ones have signed stays trusted until they are removed."""
    with session(context).operator() as client:
        made = client.rotate_signing_key()
    if as_json:
        output.print_json(made)
    else:
        output.say(f"images are signed by {made['keyId']} from now on")


@admin_app.command()
def remove(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="Id of a retired key, or how it begins.")],
    as_json: options.Json = False,
) -> None:
    """Trust a retired key no more. Images that it alone has signed can't be deployed again; what runs goes on."""
    with session(context).operator() as client:
        chosen = choose(client.list_signing_keys(), key)
        client.remove_signing_key(chosen["keyId"])
    if as_json:
        output.print_json({"removed": chosen["keyId"]})
    else:
        output.say(f"signing key {chosen['keyId']} is not trusted any more")


def choose(keys: list[SigningKey], wanted: str | None) -> SigningKey:
    """By id or how it begins; the active one where nothing is said."""
    if wanted is None:
        return keys[0]
    found = [key for key in keys if key["keyId"].startswith(wanted)] if len(wanted) >= SHORTEST else []
    if len(found) != 1:
        problem = "no signing key begins" if not found else "several signing keys begin"
        raise CommandFailed(Exit.NOT_FOUND, f"{problem} with {wanted!r}; say at least {SHORTEST} digits of one")
    return found[0]
