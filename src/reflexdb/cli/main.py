"""Entry point of the `reflexdb` command: the shared options, the list of commands, and what an error looks like.

A table of contents; each noun has a module of its own. Every error a person can cause or meet ends as one line on
standard error and an exit code of `exits`; a traceback is shown with --debug alone.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from reflexdb import __version__
from reflexdb.cli import (
    account,
    admin,
    audit,
    backup,
    build_log,
    config,
    connection,
    database,
    deployment,
    disk,
    evidence,
    freshness,
    images,
    key,
    lifecycle,
    look,
    management_key,
    past,
    pins,
    query,
    running,
    serve,
    signing_key,
)
from reflexdb.cli.demo.command import demo
from reflexdb.cli.exits import CommandFailed, Exit, code_of
from reflexdb.cli.output import note
from reflexdb.cli.session import Session, default_data
from reflexdb.client import ClientError

app = typer.Typer(
    name="reflexdb",
    help="A SQL database as a read API at memory speed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"reflexdb {__version__}")  # noqa: T201 - the answer to --version
        raise typer.Exit


@app.callback()
def shared(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(envvar="REFLEXDB_URL", help="The control plane's address; else the one running here.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(envvar="REFLEXDB_DATA", help="Data directory of the control plane on this machine.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A SQL database as a read API at memory speed."""
    del version
    context.obj = Session(url or None, data or default_data(), debug)


app.command("serve")(serve.serve)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("demo")(demo)
app.add_typer(connection.app, name="connection")
app.add_typer(database.app, name="database")
database.app.add_typer(config.app, name="config")
app.command("provision")(lifecycle.provision)
app.command("rebuild")(lifecycle.rebuild)
app.command("redeploy")(lifecycle.redeploy)
app.command("terminate")(lifecycle.terminate)
app.command("pause")(running.pause)
app.command("resume")(running.resume)
app.command("resize")(running.resize)
app.command("reconfigure")(running.reconfigure)
app.command("reload")(running.reload)
app.command("pause-replication")(running.pause_replication)
app.command("resume-replication")(running.resume_replication)
app.command("freshness")(freshness.freshness)
app.command("auto-rebuild")(freshness.auto_rebuild)
app.command("builds")(past.builds)
app.add_typer(past.build_app, name="build")
past.build_app.command("log")(build_log.log)
past.build_app.command("provenance")(evidence.provenance)
past.build_app.command("sbom")(evidence.sbom)
past.build_app.command("diff")(evidence.diff)
past.build_app.command("export")(images.export)
past.build_app.command("push")(images.push)
past.build_app.command("pull")(images.pull)
past.build_app.command("verify")(evidence.verify)
past.build_app.command("pin")(pins.pin)
past.build_app.command("unpin")(pins.unpin)
app.command("disk")(disk.disk)
app.command("deployments")(past.deployments)
app.add_typer(deployment.app, name="deployment")
app.command("logs")(look.logs)
app.command("status")(look.status)
app.command("audit")(audit.audit)
app.command("account")(account.account)
app.add_typer(account.billing_app, name="billing")
app.add_typer(key.app, name="key")
app.add_typer(management_key.app, name="management-key")
app.add_typer(signing_key.app, name="signing-key")
app.command("query")(query.query)
app.add_typer(admin.app, name="admin")


def main() -> None:
    """Run a command and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code; whatever went wrong has been said."""
    debug = "--debug" in arguments or bool(os.environ.get("REFLEXDB_DEBUG"))
    try:
        app(arguments, prog_name="reflexdb")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(Exit.OK if end.code is None else Exit.FAILED)
    except (ClientError, CommandFailed) as error:
        if debug:
            traceback.print_exc()
        for line in error.context if isinstance(error, CommandFailed) else ():
            note(f"  {line}")
        note(f"reflexdb: {error.message}")
        return int(code_of(error))
    except KeyboardInterrupt:
        note("reflexdb: interrupted")
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.OK)
    except Exception as error:  # the last place that can turn a defect into a sentence
        if debug:
            traceback.print_exc()
        note(f"reflexdb: {type(error).__name__}: {error} (a defect; `reflexdb --debug ...` shows where)")
        return int(Exit.FAILED)
    return int(Exit.OK)


if __name__ == "__main__":
    main()
