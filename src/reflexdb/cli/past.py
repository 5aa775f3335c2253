"""`reflexdb builds | build show | build cancel | deployments`: what went on with a database, and one build in full."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from reflexdb.cli import not_served, options, output, resolve
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.session import session
from reflexdb.client import ReflexClient
from reflexdb.client.deployment_types import DeploymentRecord
from reflexdb.client.types import Build, BuildDetail, BuildFilters, Failure

build_app = typer.Typer(help="One build of a database.", no_args_is_help=True)
SHORT = 8

Limit = Annotated[int | None, typer.Option(min=1, max=1000, help="At most so many.")]
Since = Annotated[str | None, typer.Option(help="Not older than this time, like 2026-04-15T12:00:00Z.")]
Until = Annotated[str | None, typer.Option(help="Older than this time.")]

BuildArgument = Annotated[
    str | None, typer.Argument(help="Id of a build, how it begins, or its number like #3; the newest one else.")
]


class BuildStatus(StrEnum):
    queued = "queued"
    in_progress = "in_progress"
    succeeded = "succeeded"
    failed = "failed"


class BuildTrigger(StrEnum):
    api = "api"
    schedule = "schedule"
    schema_change = "schema_change"
    reconcile = "reconcile"


def builds(
    context: typer.Context,
    database: options.DatabaseArgument,
    status: Annotated[BuildStatus | None, typer.Option(help="With this status alone.")] = None,
    trigger: Annotated[BuildTrigger | None, typer.Option(help="That this began.")] = None,
    deployable: Annotated[
        bool | None, typer.Option("--deployable/--not-deployable", help="That can, or can't, be redeployed now.")
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    as_json: options.Json = False,
) -> None:
    """The builds, newest first; the one that serves is marked."""
    filters: BuildFilters = {}
    if status is not None:
        filters["status"] = status.value
    if trigger is not None:
        filters["trigger"] = trigger.value
    if deployable is not None:
        filters["deployable"] = deployable
    if since is not None:
        filters["since"] = since
    if until is not None:
        filters["until"] = until
    if limit is not None:
        filters["limit"] = limit
    with session(context).client() as client:
        history = client.list_builds(resolve.database(client, database)["id"], **filters)
    if as_json:
        output.print_json(history)
        return
    output.table(
        ["", "BUILD", "STATUS", "CREATED", "SECONDS", "COMPUTE", "CENTS", "DEPLOYABLE"],
        [build_row(build, history["activeBuildId"]) for build in history["builds"]],
        empty="no build fits" if filters else "no builds yet; `reflexdb provision` makes the first",
    )


def build_row(build: Build, active: str | None) -> tuple[object, ...]:
    return (
        "*" if build["id"] == active else "",
        build["id"],
        build["status"],
        output.when(build.get("createdAt")),
        build.get("buildDurationSeconds"),
        build.get("computeTypeUsed"),
        build.get("costEstimateCents"),
        bool(build.get("deployable")),
    )


@build_app.command()
def show(
    context: typer.Context,
    database: options.DatabaseArgument,
    build: BuildArgument = None,
    as_json: options.Json = False,
) -> None:
    """Everything known of one build: who asked, its phases, its image and tables, and why it failed."""
    with session(context).client() as client:
        detail = client.get_build(*named(client, database, build))
    if as_json:
        output.print_json(detail)
    else:
        tell(detail)


def named(client: ReflexClient, database: str, build: str | None) -> tuple[str, str]:
    """The ids of a database and of one of its builds, the newest where none is named."""
    database_id = resolve.database(client, database)["id"]
    if build is not None:
        return database_id, resolve.build(client, database_id, build)["id"]
    known = client.list_builds(database_id, limit=1)["builds"]
    if not known:
        raise CommandFailed(Exit.NOT_FOUND, "no builds yet; `reflexdb provision` makes the first")
    return database_id, known[0]["id"]


@build_app.command()
def cancel(
    context: typer.Context,
    database: options.DatabaseArgument,
    build: BuildArgument = None,
    as_json: options.Json = False,
) -> None:
    """Call off a build that waits or runs. The database goes back to what it was; what serves goes on serving."""
    with session(context).client() as client:
        database_id, build_id = named(client, database, build)
        answer = client.cancel_build(database_id, build_id)
    if as_json:
        output.print_json(answer)
    else:
        output.note(f"build {build_id} is called off; the database is {answer['status']}")


def tell(detail: BuildDetail) -> None:
    image = detail["image"]
    output.facts(
        [
            ("build", f"#{detail['number']} {detail['id']}"),
            ("status", detail["status"]),
            ("place in the queue", detail.get("queuePosition")),
            ("expected to start", output.when(detail.get("expectedStartAt"))),
            ("deployable", detail["whyNotDeployable"] or "yes"),
            ("pinned", "yes: its image stays" if detail["pinned"] else None),
            ("asked by", asked_by(detail["trigger"], detail["keyName"])),
            ("reason", detail.get("reason")),
            ("created", output.when(detail.get("createdAt"))),
            ("finished", output.when(detail.get("finishedAt"))),
            ("source", detail["source"]["version"]),
            ("position", detail["source"]["position"]),
            ("fingerprint", detail["schemaFingerprint"]),
            ("engine", detail["engineVersion"]),
            ("image", image["digest"] if image else None),
            ("bytes", image["sizeBytes"] if image else None),
            ("phases", [f"{each['name']} {span(each['durationMs'])}" for each in detail["phases"] or ()]),
            ("tables", [f"{each['name']} ({shown_size(each)})" for each in detail["tables"]]),
            ("smoke tests", smoke_line(detail)),
            ("not served", detail["notServedTotal"] or None),
            ("error", failure(detail["error"])),
        ]
    )
    not_served.tell(detail["notServed"], detail["notServedTotal"])
    for line in detail["logTail"]:
        output.note(f"  {line}")


def deployments(
    context: typer.Context, database: options.DatabaseArgument, limit: Limit = None, as_json: options.Json = False
) -> None:
    """Every time an instance was put in place, or should have been: who asked, from which build to which, the end."""
    with session(context).client() as client:
        answer = client.list_deployments(resolve.database(client, database)["id"], limit)
    if as_json:
        output.print_json(answer)
        return
    output.table(
        ["WHEN", "KIND", "OUTCOME", "MS", "FAILED", "FROM", "TO", "ASKED BY", "ERROR"],
        [deployment_row(each) for each in answer["deployments"]],
        empty="no deployments yet; `reflexdb provision` makes the first",
    )


def deployment_row(record: DeploymentRecord) -> tuple[object, ...]:
    return (
        output.when(record["requestedAt"]),
        record["kind"],
        record["outcome"],
        record["durationMs"],
        record["requestsFailed"],
        short(record["fromBuildId"]),
        short(record["toBuildId"]),
        asked_by(record["trigger"], record["keyName"]),
        failure(record["error"]),
    )


def asked_by(trigger: str | None, key_name: str | None) -> str | None:
    return key_name if trigger == "api" else trigger


def failure(error: Failure | None) -> str | None:
    if error is None:
        return None
    return f"{error['step']}: {error['message']}" if error["step"] else error["message"]


def short(build_id: str | None) -> str | None:
    return build_id[:SHORT] if build_id else None


def span(milliseconds: int | None) -> str:
    return "not ended" if milliseconds is None else f"{milliseconds / 1000:.2f} s"


def shown_size(table: Mapping[str, Any]) -> str:
    if table["rows"] is None:
        return "rows unknown"
    held = "" if table["bytes"] is None else f", {table['bytes']:,} bytes"
    return f"{table['rows']:,} rows{held}"


def smoke_line(detail: BuildDetail) -> str | None:
    """How many passed; the first that did not is the build's error."""
    tests = detail["smokeTests"]
    if tests is None:
        return None
    elsewhere = detail["smokedInBuildId"] != detail["id"]
    where = f", in build {detail['smokedInBuildId']}, whose image this is" if elsewhere else ""
    return f"{sum(each['passed'] for each in tests)} of {len(tests)} passed{where}"


@build_app.command()
def smoke(
    context: typer.Context,
    database: options.DatabaseArgument,
    build: BuildArgument = None,
    as_json: options.Json = False,
) -> None:
    """The smoke tests of a build: what its server was asked before it became an image, and what was found."""
    with session(context).client() as client:
        detail = client.get_build(*named(client, database, build))
    tests = detail["smokeTests"]
    if as_json:
        output.print_json(tests)
        return
    output.table(
        ["TEST", "PASSED", "MS", "FOUND"],
        [(each["name"], each["passed"], each["durationMs"], each["message"]) for each in tests or ()],
        empty="no smoke tests were run in this build",
    )
