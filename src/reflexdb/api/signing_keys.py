"""/v1/signing-keys: the public keys by which images can be checked; the operator rotates and removes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter

from reflexdb.api import evidence_answers as answers
from reflexdb.api import views
from reflexdb.api.context import ADMIN_ONLY, Account, Controlled, errors
from reflexdb.control.signing import PublicKey

router = APIRouter(prefix="/v1", tags=["Builds"])
ADMIN = "/admin/signing-keys"


@router.get(
    "/signing-keys",
    operation_id="listSigningKeys",
    summary="List signing keys",
    responses=errors(),
    response_model=list[answers.SigningKey],
)
def list_signing_keys(account: Account, control: Controlled) -> list[dict[str, Any]]:  # noqa: ARG001
    """The public keys that are trusted here: the active one, which signs images and statements about them, then retired
    ones, the newest first."""
    return [_answer(key) for key in control.rooms.signing.public()]


@router.post(
    ADMIN,
    status_code=201,
    operation_id="rotateSigningKey",
    summary="Rotate the signing key",
    responses=errors(403, 409),
    response_model=answers.SigningKey,
    dependencies=[ADMIN_ONLY],
)
def rotate_signing_key(control: Controlled) -> dict[str, Any]:
    """Make a new key that signs from now on. The one before signs nothing more, and stays trusted until removed."""
    return _answer(control.rooms.signing.rotate())


@router.delete(
    ADMIN + "/{keyId}",
    status_code=204,
    operation_id="removeSigningKey",
    summary="Trust a signing key no more",
    responses=errors(403, 404, 409),
    dependencies=[ADMIN_ONLY],
)
def remove_signing_key(keyId: str, control: Controlled) -> None:  # noqa: N803
    """Images that it alone has signed can't be deployed any more; what runs goes on. The active key stays."""
    control.rooms.signing.remove(keyId)


def _answer(key: PublicKey) -> dict[str, Any]:
    return {
        "keyId": key.id,
        "algorithm": "ed25519",
        "publicKey": key.pem,
        "active": key.retired_at is None,
        "createdAt": _time(key.created_at),
        "retiredAt": _time(key.retired_at),
    }


def _time(text: str | None) -> str | None:
    return views.instant(datetime.fromisoformat(text)) if text else None
