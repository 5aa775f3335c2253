"""/v1/databases/{id}/builds/{build_id}/image: the image of a build, for other machines and tools."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from reflexdb.api import evidence_answers as answers
from reflexdb.api.context import Account, Controlled, errors

router = APIRouter(prefix="/v1/databases/{id}/builds/{build_id}/image", tags=["Builds"])

_TAR = "application/x-tar"


@router.get(
    "",
    operation_id="exportBuildImage",
    summary="Export the image of a build",
    response_class=Response,
    responses={
        200: {"description": "The image", "content": {_TAR: {"schema": {"type": "string", "format": "binary"}}}},
        **errors(400, 404, 409),
    },
)
def export_image(
    id: str,  # noqa: A002
    build_id: str,
    account: Account,
    control: Controlled,
    platform: Annotated[
        Literal["linux/amd64", "linux/arm64"] | None,
        Query(description="For which it was built; the control plane's own, where left out"),
    ] = None,
) -> Response:
    """One tar that is an OCI layout and what `docker load` takes: `podman load`, `skopeo copy oci-archive:...` and any
    other OCI tool read it. The digest of the image is the build's; the same image gives the same bytes."""
    file = control.shipping.file(account, id, build_id, platform)
    headers = {"Content-Disposition": f'attachment; filename="{file.name}"', "Cache-Control": "private, no-store"}
    return Response(file.content, media_type=_TAR, headers=headers)


@router.post(
    "/push",
    operation_id="pushBuildImage",
    summary="Push the image of a build",
    responses=errors(404, 409),
    response_model=answers.MovedImage,
)
def push_image(id: str, build_id: str, account: Account, control: Controlled) -> dict[str, str | None]:  # noqa: A002
    """Put the image, and its signature, into the registry that the control plane is configured with. What is there
    already is not sent again. 503 says why the registry, or the lack of one, does not allow it."""
    digest, address = control.shipping.push(account, id, build_id)
    return {"digest": digest, "address": address}


@router.post(
    "/pull",
    operation_id="pullBuildImage",
    summary="Pull the image of a build",
    responses=errors(404, 409),
    response_model=answers.MovedImage,
)
def pull_image(id: str, build_id: str, account: Account, control: Controlled) -> dict[str, str | None]:  # noqa: A002
    """Have the image here again, from the registry, so that the build can be deployed. 409 where what is there is not
    what the digest names, or no trusted key has signed it. A redeploy does this by itself."""
    return {"digest": control.shipping.pull(account, id, build_id), "address": None}
