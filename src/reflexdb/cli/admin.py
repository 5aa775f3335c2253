"""`reflexdb admin ...`: what an operator does: customers, their keys, logins and plans, its own key.

A table of contents; each group has a module of its own. All but `reset-key` ask the control plane, with the operator's
credential: see `Session.operator`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reflexdb.cli import admin_customers, admin_keys, admin_logins, admin_plans, disk, output, signing_key
from reflexdb.cli.serve import Records, records_address
from reflexdb.cli.session import session

_HELP = "For the operator: customers, their keys, logins and plans, the keys of images, the operator key."

app = typer.Typer(help=_HELP, no_args_is_help=True)
app.add_typer(admin_customers.app, name="customers")
app.add_typer(admin_keys.app, name="keys")
app.add_typer(admin_logins.app, name="logins")
app.add_typer(admin_plans.plan_app, name="plan")
app.add_typer(admin_plans.credits_app, name="credits")
app.add_typer(signing_key.admin_app, name="signing-key")
app.command("disk")(disk.store_disk)


@app.command("reset-key")
def reset_key(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option(help="Data directory, on this machine, of the control plane.")] = None,
    records: Records = None,
) -> None:
    """Make a new operator key and every earlier one invalid, where it was lost or seen. The control plane must not
    run meanwhile; instances may."""
    # Like `serve`, it works on the directory itself: whoever has lost the key has no other way in.
    from reflexdb.api.serve import reset_operator_key

    output.say(str(reset_operator_key(data or session(context).data, records_address(context, records))))
    output.note("has the new operator key; earlier ones are no longer valid")
