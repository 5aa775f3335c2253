"""`reflexdb deployment show | promote | abort`: one deployment, and what may be done to one that is under way."""

from __future__ import annotations

from typing import Annotated

import typer

from reflexdb.cli import options, output, past, resolve
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.session import session
from reflexdb.client import ReflexClient
from reflexdb.client.deployment_types import DeploymentRecord, RolloutSide

app = typer.Typer(help="One deployment of a database.", no_args_is_help=True)

Deployment = Annotated[
    str | None, typer.Argument(help="Id of a deployment, or how it begins; the newest one where none is named.")
]


@app.command()
def show(
    context: typer.Context,
    database: options.DatabaseArgument,
    deployment: Deployment = None,
    as_json: options.Json = False,
) -> None:
    """How a deployment went, or goes: who asked, how many requests failed, and the share, errors and times of both."""
    with session(context).client() as client:
        _, record = _named(client, database, deployment)
    if as_json:
        output.print_json(record)
    else:
        tell(record)


@app.command()
def promote(
    context: typer.Context,
    database: options.DatabaseArgument,
    deployment: Deployment = None,
    as_json: options.Json = False,
) -> None:
    """End the steps of a canary: its instance takes everything now."""
    with session(context).client() as client:
        database_id, record = _named(client, database, deployment)
        answer = client.promote_deployment(database_id, record["id"])
    if as_json:
        output.print_json(answer)
    else:
        output.note(f"deployment {record['id']} is being promoted")


@app.command()
def abort(
    context: typer.Context,
    database: options.DatabaseArgument,
    deployment: Deployment = None,
    as_json: options.Json = False,
) -> None:
    """Call off a deployment that is under way; what served before serves everything again."""
    with session(context).client() as client:
        database_id, record = _named(client, database, deployment)
        answer = client.abort_deployment(database_id, record["id"])
    if as_json:
        output.print_json(answer)
    else:
        output.note(f"deployment {record['id']} is called off")


def tell(record: DeploymentRecord) -> None:
    rollout = record["rollout"]
    steps = rollout["steps"] if rollout else []
    output.facts(
        [
            ("deployment", record["id"]),
            ("kind", record["kind"]),
            ("outcome", record["outcome"]),
            ("asked by", past.asked_by(record["trigger"], record["keyName"])),
            ("reason", record["reason"]),
            ("from build", record["fromBuildId"]),
            ("to build", record["toBuildId"]),
            ("requested", output.when(record["requestedAt"])),
            ("took ms", record["durationMs"]),
            ("requests failed", record["requestsFailed"]),
            ("strategy", record["strategy"]),
            ("state", rollout["state"] if rollout else None),
            ("share", f"{rollout['sharePercent']:g}%" if rollout else None),
            ("steps", [f"{each['percent']:g}% for {each['seconds']:g} s" for each in steps]),
            ("new", _side(rollout["new"]) if rollout else None),
            ("old", _side(rollout["old"]) if rollout else None),
            ("error", past.failure(record["error"])),
        ]
    )


def _side(side: RolloutSide | None) -> str | None:
    if side is None:
        return None
    rate = "no errors known" if side["errorRate"] is None else f"{side['errorRate']:.1%} failed or refused"
    times = "" if side["p99Ms"] is None else f", 99% within {side['p99Ms']:g} ms"
    return f"{side['requests']} requests, {rate}{times}"


def _named(client: ReflexClient, database: str, deployment: str | None) -> tuple[str, DeploymentRecord]:
    database_id = resolve.database(client, database)["id"]
    known = client.list_deployments(database_id)["deployments"]
    fit = known[:1] if deployment is None else [each for each in known if each["id"].startswith(deployment.lower())]
    if len(fit) != 1:
        what = "no deployments yet" if deployment is None else f"{len(fit)} deployments begin with {deployment!r}"
        raise CommandFailed(Exit.NOT_FOUND, f"{what}; see `reflexdb deployments`")
    return database_id, fit[0]
