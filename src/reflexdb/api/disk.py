"""/v1/databases/{id}/disk-use and /v1/admin/disk-use: what images take of the disk."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from reflexdb.api.context import ADMIN_ONLY, Account, Controlled, errors
from reflexdb.api.evidence_answers import DatabaseDisk, StoreDisk
from reflexdb.control.disk import DatabaseDisk as Disk

router = APIRouter(prefix="/v1", tags=["Builds"])


@router.get(
    "/databases/{id}/disk-use",
    operation_id="getDatabaseDiskUse",
    summary="Get the disk use of a database",
    responses=errors(404),
    response_model=DatabaseDisk,
)
def get_database_disk_use(id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """The images of the database's builds that are stored now, each once, and what they take together."""
    return _shown(control.disk.of_database(account, id))


@router.get(
    "/admin/disk-use",
    operation_id="getDiskUse",
    summary="Get the disk use of all images",
    responses=errors(403),
    response_model=StoreDisk,
    dependencies=[ADMIN_ONLY],
    tags=["Administration"],
)
def get_disk_use(control: Controlled) -> dict[str, Any]:
    """What the image store takes of its disk, what is free there, and which databases' images take most.

    What databases share counts for each of them. Where the store's disk can't be measured from here, bytes are null.
    """
    use = control.disk.whole()
    return {
        "images": control.disk.images(),
        "bytes": None if use is None else use.bytes,
        "freeBytes": None if use is None else use.free_bytes,
        "databases": [
            {"databaseId": each.database_id, "images": len(each.images), "bytes": each.bytes}
            for each in control.disk.of_all()
        ],
    }


def _shown(disk: Disk) -> dict[str, Any]:
    return {
        "databaseId": disk.database_id,
        "bytes": disk.bytes,
        "images": [asdict(each) for each in disk.images],
    }
