"""`reflexdb account | billing ...`: the plan, what was used of it, and buying another."""

from __future__ import annotations

from typing import Annotated

import typer

from reflexdb.cli import options, output
from reflexdb.cli.session import session
from reflexdb.client.types import Account, OverageState

billing_app = typer.Typer(help="Buying a plan, and paying for builds beyond it.", no_args_is_help=True)


def account(context: typer.Context, as_json: options.Json = False) -> None:
    """The account's plan, what was used of it this month, overage and payments."""
    with session(context).client() as client:
        answer = client.account()
    if as_json:
        output.print_json(answer)
    else:
        tell(answer)


def tell(answer: Account) -> None:
    limits, built, over, paid = answer["limits"], answer["buildCredits"], answer["overage"], answer["payment"]
    output.facts(
        [
            ("account", answer["name"]),
            ("id", answer["id"]),
            ("plan", answer["plan"]),
            ("databases", of(answer["databases"], limits["databases"])),
            ("instance sizes", limits["instanceSizes"]),
            ("custom domain", "yes" if limits["customDomain"] else "no"),
            ("builds this month", of(built["used"], total(built["included"], built["adjustment"]))),
            ("month ends", output.when(built["resetsAt"]) if built["included"] is not None else None),
            (
                "overage",
                f"{cents(over['spentCents'])} of {cents(over['spendingCapCents'])}" if over["enabled"] else "off",
            ),
            ("subscription", paid["subscriptionStatus"]),
            ("last payment", paid["state"] if paid["state"] != "none" else None),
        ]
    )


def total(included: int | None, adjustment: int) -> int | None:
    return None if included is None else max(0, included + adjustment)


def of(used: int, limit: int | None) -> str:
    return f"{used} (no limit)" if limit is None else f"{used} of {limit}"


def spent(over: OverageState) -> str:
    return f"{cents(over['spentCents'])} of {cents(over['spendingCapCents'])}"


def cents(amount: int | None) -> str:
    return f"{(amount or 0) / 100:.2f}"


@billing_app.command()
def checkout(
    context: typer.Context,
    plan: Annotated[str, typer.Argument(help="pro, teams or enterprise.")],
    as_json: options.Json = False,
) -> None:
    """An address to pay at, or to change the subscription where there is one."""
    with session(context).client() as client:
        url = client.create_checkout_session(plan)
    if as_json:
        output.print_json({"url": url})
    else:
        output.say(url)


@billing_app.command()
def overage(
    context: typer.Context,
    cap: Annotated[
        int | None, typer.Option("--cap", min=1, help="The most that may be spent in a month, in cents.")
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Build within the plan's credits only.")] = False,
    as_json: options.Json = False,
) -> None:
    """Let builds go on for money when the month's credits are used: --cap CENTS, or --off."""
    if (cap is None) != off:
        raise typer.BadParameter("give either --cap CENTS or --off")
    with session(context).client() as client:
        answer = client.configure_overage(not off, cap)
    if as_json:
        output.print_json(answer)
    else:
        output.say(f"overage is on, up to {cents(answer['spendingCapCents'])} a month" if cap else "overage is off")
