"""/v1/databases/{id}/builds/{build_id}/provenance and /sbom: what can be shown of a build to who would check."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from reflexdb.api import answers
from reflexdb.api.context import Account, Controlled, errors

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
