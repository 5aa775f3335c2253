"""`plan ...` and `credits ...` of the operator: a customer's plan and build credits, without anybody paying.

Two groups of `admin`; asked with the operator's credential.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from reflexdb.cli import options, output
from reflexdb.cli.key import Expires, expiry
from reflexdb.cli.session import session
from reflexdb.client.types import Adjustment

plan_app = typer.Typer(help="A customer's plan, set without a payment.", no_args_is_help=True)
credits_app = typer.Typer(help="A customer's build credits: grant, list.", no_args_is_help=True)

CustomerArgument = Annotated[str, typer.Argument(metavar="CUSTOMER", help="Id of the customer.")]


@plan_app.command("set")
def set_plan(
    context: typer.Context,
    customer: CustomerArgument,
    plan: Annotated[str, typer.Argument(help="free, pro, teams or enterprise.")],
    as_json: options.Json = False,
) -> None:
    """Give a customer a plan that nobody pays for."""
    with session(context).operator() as client:
        answer = client.update_customer_plan(customer, plan)
    tell_plan(answer, as_json=as_json)


@plan_app.command("reset")
def reset_plan(context: typer.Context, customer: CustomerArgument, as_json: options.Json = False) -> None:
    """Give a customer the plan that new accounts get."""
    with session(context).operator() as client:
        answer = client.reset_customer_plan(customer)
    tell_plan(answer, as_json=as_json)


def tell_plan(answer: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        output.print_json(answer)
    else:
        output.say(f"customer {answer['id']} has the plan {answer['plan']}")


@credits_app.command()
def grant(
    context: typer.Context,
    customer: CustomerArgument,
    amount: Annotated[
        int, typer.Option("--amount", help="Build credits a month to add; a negative number takes away.")
    ],
    reason: Annotated[str | None, typer.Option("--reason", help="Why; kept with it.")] = None,
    expires: Expires = None,
    as_json: options.Json = False,
) -> None:
    """Add to, or take from, the build credits that a customer has each month."""
    until = expiry(expires, datetime.now(UTC))
    with session(context).operator() as client:
        answer = client.adjust_build_credits(customer, amount, reason, until)
    if as_json:
        output.print_json(answer)
    else:
        output.say(f"adjusted by {amount:+}; all adjustments together: {answer['totalAdjustment']:+}")


@credits_app.command("list")
def list_adjustments(context: typer.Context, customer: CustomerArgument, as_json: options.Json = False) -> None:
    """Every adjustment of a customer's build credits, newest first."""
    with session(context).operator() as client:
        answer = client.build_credit_adjustments(customer)
    if as_json:
        output.print_json(answer)
        return
    output.table(
        ["WHEN", "AMOUNT", "EXPIRES", "REASON"],
        [row(each) for each in answer["adjustments"]],
        empty="no adjustment was made",
    )
    output.note(f"all that count now: {answer['totalAdjustment']:+}")


def row(each: Adjustment) -> tuple[object, ...]:
    return output.when(each["createdAt"]), f"{each['amount']:+}", output.when(each["expiresAt"]), each["reason"]
