"""What can be shown of a build to those who do not believe it: its provenance, signed, and what its image is made of.

Provenance is written and signed when the build succeeds, in the transaction of its success, and kept with it: it tells
of times and of who asked, and must not be made up later. The SBOM is a function of the image. Asked by the API.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection as Tx

from reflexdb.build.signing import envelope
from reflexdb.build.statements import Made, provenance, sbom
from reflexdb.control.databases import found
from reflexdb.control.origin import origin
from reflexdb.control.rooms import Rooms, canonical_id
from reflexdb.model.errors import ImageDamaged, NotFound
from reflexdb.records import builds
from reflexdb.records.rows import BuildRow, DatabaseRow

Json = dict[str, Any]


class Evidence:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def provenance(self, customer_id: str, database_id: str, build_id: str) -> Json:
        """The DSSE envelope. Raises NotFound where the build has none."""
        with self._rooms.store.read() as tx:
            build = build_of(tx, customer_id, database_id, build_id)
        if build.provenance is None:
            raise NotFound(
                "This build has no provenance: only a build that succeeded, with a version that signs, has one"
            )
        statement: Json = json.loads(build.provenance)
        return statement

    def sbom(self, customer_id: str, database_id: str, build_id: str) -> Json:
        """CycloneDX. Raises NotFound where there is no image, or not any more."""
        with self._rooms.store.read() as tx:
            build = build_of(tx, customer_id, database_id, build_id)
        if build.image_digest is None:
            raise NotFound(f"This build is {build.status.replace('_', ' ')} and has no image")
        try:
            return sbom(build.image_digest, self._rooms.images.document(build.image_digest))
        except ImageDamaged as exc:
            raise NotFound(f"What the image is made of can't be told: {exc.message}") from exc


def signed_provenance(
    rooms: Rooms, build: BuildRow, database: DatabaseRow, digest: str, finished: datetime, *, reused: bool
) -> str:
    """The statement on a build that has just succeeded, as its envelope's JSON."""
    key = rooms.signing.active()
    made = Made(
        build_id=build.id,
        digest=digest,
        document=rooms.images.document(digest),
        connection_id=database.connection_id,
        source_version=build.source_version,
        trigger=build.trigger or origin().trigger,
        reused=reused,
        started_at=_instant(build.started_at or build.created_at),
        finished_at=_instant(finished),
        key_id=key.id,
    )
    return json.dumps(envelope(provenance(made), key))


def build_of(tx: Tx, customer_id: str, database_id: str, build_id: str) -> BuildRow:
    """Raises NotFound for what is not this customer's."""
    row = found(tx, customer_id, database_id)
    build = builds.get(tx, row.id, canonical_id(build_id, "build"))
    if build is None:
        raise NotFound("This database has no build with this id")
    return build


def _instant(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
