"""Requests that may be sent twice: what was answered to a key's first request is answered again, for a day.

Called by the API around every POST that carries an Idempotency-Key. Of two that race, the write lock lets one begin;
the other waits for its answer. Where a control plane died between the two ends of a request, nobody knows what it did,
and saying so is the only answer that can't do it twice. Request and answer are encrypted at rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from reflexdb.control.rooms import Rooms
from reflexdb.model.errors import Conflict, KeyReused
from reflexdb.records import leases, repeats
from reflexdb.records.rows import RepeatRow

KEPT_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it was sent."""

    status: int
    content_type: str
    body: bytes


class Repeats:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def begin(self, customer_id: str, key: str, request: bytes) -> bool:
        """True where the key is new: the caller carries the request out, then calls `keep`, `release` or `doubt`.

        Raises KeyReused where the key came with another request.
        """
        now = self._rooms.now()
        with self._rooms.store.write() as tx:
            repeats.forget_before(tx, now - KEPT_FOR)
            row = repeats.get(tx, customer_id, key)
            if row is None:
                sealed = self._rooms.secrets.seal(_name(customer_id, key, "request"), request)
                owner = self._rooms.owner
                repeats.add(tx, customer_id=customer_id, key=key, request=sealed, owner=owner, created_at=now)
                return True
        if self._rooms.secrets.unseal(_name(customer_id, key, "request"), row.request) != request:
            raise KeyReused("This Idempotency-Key was sent with another request; use a new key for a new request")
        return False

    def answer(self, customer_id: str, key: str) -> Kept | None:
        """What the first request was answered; None while it is carried out. Raises Conflict where nobody will know."""
        with self._rooms.store.read() as tx:
            row = repeats.get(tx, customer_id, key)
            elsewhere = row is not None and leases.is_alive(tx, row.owner)
        if row is None:
            raise Conflict("The first request with this Idempotency-Key was refused and did nothing; send it again")
        if row.status is None:
            if row.owner != self._rooms.owner and not elsewhere:
                raise Conflict(
                    "The first request with this Idempotency-Key was cut short; "
                    "look at what it did, then send what is still needed with a new key"
                )
            return None
        return self._kept(row, row.status)

    def keep(self, customer_id: str, key: str, answer: Kept) -> None:
        sealed = self._rooms.secrets.seal(_name(customer_id, key, "answer"), answer.body)
        with self._rooms.store.write() as tx:
            repeats.change(tx, customer_id, key, status=answer.status, content_type=answer.content_type, answer=sealed)

    def release(self, customer_id: str, key: str) -> None:
        """The request was refused and changed nothing: it may be sent again."""
        with self._rooms.store.write() as tx:
            repeats.remove(tx, customer_id, key)

    def doubt(self, customer_id: str, key: str) -> None:
        """The request broke off; what it did is not known."""
        with self._rooms.store.write() as tx:
            repeats.change(tx, customer_id, key, owner=None)

    def _kept(self, row: RepeatRow, status: int) -> Kept:
        assert row.answer is not None
        body = self._rooms.secrets.unseal(_name(row.customer_id, row.key, "answer"), row.answer)
        return Kept(status, row.content_type or "application/json", body)


def _name(customer_id: str, key: str, part: str) -> str:
    return f"repeat/{customer_id}/{part}/{key}"
