"""`reflexdb admin customers ...`: whom the control plane serves."""

from __future__ import annotations

from typing import Annotated

import typer

from reflexdb.cli import options, output
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.output import safe
from reflexdb.cli.resolve import missing
from reflexdb.cli.session import session
from reflexdb.client.admin import Customer, OperatorClient

app = typer.Typer(help="Customers: list, create, show, rename, suspend, restore.", no_args_is_help=True)
CustomerArgument = Annotated[str, typer.Argument(metavar="CUSTOMER", help="Name or id.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="For people; need not be unique.")]


def resolve(client: OperatorClient, wanted: str) -> Customer:
    """The customer with this id, or the only one with this name."""
    known = client.list_customers()
    found = [item for item in known if item["id"] == wanted] or [item for item in known if item["name"] == wanted]
    if not found:
        raise missing("customer", wanted, [item["name"] for item in known])
    if len(found) > 1:
        ids = ", ".join(item["id"] for item in found)
        raise CommandFailed(Exit.CONFLICT, f"several customers are called {safe(wanted)!r}; give the id: {ids}")
    return found[0]


@app.command("list")
def list_customers(context: typer.Context, as_json: options.Json = False) -> None:
    """Every customer, oldest first; the first one is the operator's own."""
    with session(context).operator() as client:
        customers = client.list_customers()
    if as_json:
        output.print_json(customers)
        return
    output.table(
        ["NAME", "ID", "PLAN", "CREATED", "SUSPENDED"],
        [
            (item["name"], item["id"], item["plan"], output.when(item["createdAt"]), output.when(item["suspendedAt"]))
            for item in customers
        ],
        empty="no customers yet",
    )


@app.command()
def create(context: typer.Context, name: NameArgument, as_json: options.Json = False) -> None:
    """Make a customer. It has no key yet: `reflexdb admin keys create` makes its first one."""
    with session(context).operator() as client:
        created = client.create_customer(name)
    if as_json:
        output.print_json(created)
        return
    output.say(created["id"])
    output.note(f"customer {created['name']} created")


@app.command()
def show(context: typer.Context, customer: CustomerArgument, as_json: options.Json = False) -> None:
    """One customer."""
    with session(context).operator() as client:
        _tell(resolve(client, customer), as_json=as_json)


@app.command()
def rename(
    context: typer.Context, customer: CustomerArgument, name: NameArgument, as_json: options.Json = False
) -> None:
    """Give a customer another name."""
    with session(context).operator() as client:
        _tell(client.update_customer(resolve(client, customer)["id"], name=name), as_json=as_json)


@app.command()
def suspend(
    context: typer.Context, customer: CustomerArgument, yes: options.Yes = False, as_json: options.Json = False
) -> None:
    """Refuse a customer's keys and tokens from now on. Its instances go on serving queries."""
    with session(context).operator() as client:
        chosen = resolve(client, customer)
        options.confirm(f"Suspend {chosen['name']}? Nobody of it will be let in.", yes=yes)
        _tell(client.update_customer(chosen["id"], suspended=True), as_json=as_json)


@app.command()
def restore(context: typer.Context, customer: CustomerArgument, as_json: options.Json = False) -> None:
    """Let a suspended customer in again."""
    with session(context).operator() as client:
        _tell(client.update_customer(resolve(client, customer)["id"], suspended=False), as_json=as_json)


def _tell(customer: Customer, *, as_json: bool) -> None:
    if as_json:
        output.print_json(customer)
        return
    output.facts(
        [
            ("name", customer["name"]),
            ("id", customer["id"]),
            ("plan", customer["plan"]),
            ("created", output.when(customer["createdAt"])),
            ("suspended", output.when(customer["suspendedAt"])),
        ]
    )
