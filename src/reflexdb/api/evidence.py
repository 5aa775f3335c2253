"""/v1/databases/{id}/builds/{build_id}/...: what can be shown of a build to who would check:

its provenance, what its image is made of, what is different in it from another; and that its image is to stay."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from reflexdb.api import evidence_answers as answers
from reflexdb.api import views
from reflexdb.api.context import Account, Controlled, errors
from reflexdb.control.shapes import SeenQueries
from reflexdb.model.plan_diff import Change
from reflexdb.model.seen_queries import Broken
from reflexdb.records.rows import BuildRow

router = APIRouter(prefix="/v1/databases/{id}/builds/{build_id}", tags=["Builds"])


@router.get(
    "/provenance",
    operation_id="getBuildProvenance",
    summary="Get the provenance of a build",
    responses=errors(404),
    response_model=answers.Envelope,
)
def get_provenance(id: str, build_id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """SLSA provenance v1 as an in-toto statement, in a DSSE envelope that the signing key of then has signed."""
    return control.evidence.provenance(account, id, build_id)


@router.get(
    "/diff",
    operation_id="diffBuilds",
    summary="Compare a build with another",
    responses=errors(400, 404, 409),
    response_model=answers.BuildDifference,
)
def diff_builds(
    id: str,  # noqa: A002
    build_id: str,
    account: Account,
    control: Controlled,
    against: Annotated[
        str | None, Query(description="The other build; the newest one before this, where left out")
    ] = None,
) -> dict[str, Any]:
    """What is different in this build from the one it is compared with: tables, columns, types, relations and
    configuration; whether any query that the other answers is refused or answered otherwise (`breaking`); and which of
    the queries that the database was asked lately are (`breaks`)."""
    found = control.comparing.difference(account, id, build_id, against)
    pairs = list(zip(found.changes, found.broken, strict=True))
    return {
        "against": _name(found.against),
        "build": _name(found.build),
        "identical": not found.changes,
        "breaking": any(change.breaking for change in found.changes),
        "judgedAgainst": "every_query" if found.seen is None else "seen_queries",
        "seen": None if found.seen is None else _seen(found.seen),
        "breaksSeenQueries": None if found.seen is None else any(broken and broken.shapes for _, broken in pairs),
        "changes": [_change(change, broken, found.seen) for change, broken in pairs],
        "notServed": [entry.to_json() for entry in found.not_served],
    }


@router.get(
    "/sbom",
    operation_id="getBuildSbom",
    summary="Get the SBOM of a build",
    responses=errors(404),
    response_model=dict[str, Any],
)
def get_sbom(id: str, build_id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """What the build's image is made of, as CycloneDX 1.5: engine, generated unit, the libraries linked into it.

    The same image has the same answer, byte for byte."""
    return control.evidence.sbom(account, id, build_id)


@router.post(
    "/verify",
    operation_id="verifyBuild",
    summary="Verify a build",
    responses=errors(400, 404, 409, 503),
    response_model=answers.Verification,
)
def verify_build(
    id: str,  # noqa: A002
    build_id: str,
    account: Account,
    control: Controlled,
    engine: Annotated[
        Literal["cached", "fresh"], Query(description="`fresh`: the engine is compiled anew, too, which takes a minute")
    ] = "cached",
) -> dict[str, Any]:
    """Makes the build's image again from what is recorded of it, in a new directory, and says whether it is the same,
    byte for byte, or else where the first difference lies. Nothing is stored or deployed. Answers when it is done."""
    found = control.verifying.verify(account, id, build_id, fresh=engine == "fresh")
    return {
        "build": _name(found.build),
        "identical": not found.differences,
        "recordedDigest": found.build.image_digest,
        "rebuiltDigest": found.rebuilt,
        "engine": "fresh" if found.fresh else "cached",
        "durationMs": round(found.seconds * 1000),
        "differences": [asdict(each) for each in found.differences],
    }


@router.post(
    "/pin",
    operation_id="pinBuild",
    summary="Pin a build",
    responses=errors(404, 409),
    response_model=answers.PinnedBuild,
)
def pin_build(id: str, build_id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Keep the build's image, whatever comes after it, until it is unpinned. Pinning again changes nothing."""
    row = control.retention.pin(account, id, build_id)
    return {"id": row.id, "number": row.number, "pinnedAt": views.instant(row.pinned_at)}


@router.delete(
    "/pin",
    status_code=204,
    operation_id="unpinBuild",
    summary="Unpin a build",
    responses=errors(404),
)
def unpin_build(id: str, build_id: str, account: Account, control: Controlled) -> None:  # noqa: A002
    """Its image may go once enough newer ones are there. What is not pinned stays as it is."""
    control.retention.unpin(account, id, build_id)


def _name(build: BuildRow) -> dict[str, Any]:
    return {"id": build.id, "number": build.number, "schemaFingerprint": build.fingerprint}


def _seen(seen: SeenQueries) -> dict[str, Any]:
    return {
        "shapes": len(seen.shapes),
        "queries": seen.queries,
        "notToldApart": seen.other,
        "since": views.instant(seen.since),
    }


def _change(change: Change, broken: Broken | None, seen: SeenQueries | None) -> dict[str, Any]:
    if not change.breaking:
        judgement = "not breaking"
    elif broken is not None and broken.shapes:
        judgement = "breaking for seen queries"
    elif seen is None or seen.other:  # those that were not told apart may use it
        judgement = "breaking"
    else:
        judgement = "breaking, though no query seen uses it"
    return {**asdict(change), "judgement": judgement, "breaks": None if broken is None else asdict(broken)}
