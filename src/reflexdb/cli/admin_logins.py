"""`reflexdb admin logins ...`: which users of the OIDC issuer speak for which customer."""

from __future__ import annotations

from typing import Annotated

import typer

from reflexdb.cli import options, output
from reflexdb.cli.admin_customers import CustomerArgument, resolve
from reflexdb.cli.resolve import missing
from reflexdb.cli.session import session

app = typer.Typer(help="Users of the OIDC issuer that speak for a customer: add, list, remove.", no_args_is_help=True)
Subject = Annotated[str, typer.Argument(metavar="SUBJECT", help="The user's `sub`, as the issuer's tokens have it.")]


@app.command()
def add(
    context: typer.Context,
    customer: CustomerArgument,
    subject: Subject,
    name: Annotated[str | None, typer.Option("--name", "-n", help="For people; else the subject.")] = None,
    as_json: options.Json = False,
) -> None:
    """Let a user of the issuer speak for a customer."""
    with session(context).operator() as client:
        owner = resolve(client, customer)
        made = client.create_login(owner["id"], subject, name)
    if as_json:
        output.print_json(made)
    else:
        output.say(f"{made['name']} speaks for {owner['name']}")


@app.command("list")
def list_logins(context: typer.Context, customer: CustomerArgument, as_json: options.Json = False) -> None:
    """The users linked to a customer; not those whose tokens name it in a claim."""
    with session(context).operator() as client:
        logins = client.list_logins(resolve(client, customer)["id"])
    if as_json:
        output.print_json(logins)
        return
    output.table(
        ["NAME", "SUBJECT", "ISSUER", "CREATED", "LAST USED"],
        [
            (
                item["name"],
                item["subject"],
                item["issuer"],
                output.when(item["createdAt"]),
                output.when(item["lastUsedAt"]),
            )
            for item in logins
        ],
        empty="no logins yet",
    )


@app.command()
def remove(context: typer.Context, customer: CustomerArgument, subject: Subject, as_json: options.Json = False) -> None:
    """No longer let a user of the issuer speak for a customer."""
    with session(context).operator() as client:
        owner = resolve(client, customer)
        known = client.list_logins(owner["id"])
        found = [item for item in known if subject in (item["subject"], item["id"])]
        if not found:
            raise missing("login", subject, [item["subject"] for item in known])
        client.delete_login(owner["id"], found[0]["id"])
    if as_json:
        output.print_json({"removed": found[0]["id"]})
    else:
        output.say(f"{found[0]['name']} no longer speaks for {owner['name']}")
