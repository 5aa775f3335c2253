"""The keys that images are signed with: made at the first start, rotated and removed by the operator.

One sealed entry among the secrets holds the active private key and every trusted public one, so that a change is whole
or not at all, and a backup has it. A retired key signs nothing more, its private part is gone, and what it signed stays
trusted until the key is removed. Images from before there was a key are signed once, by the key that is then made:
which they are is written down with it, so that a start that is cut short goes on.

Called by the image store, the API and at every start. Every change is made in a writing transaction, like those of all
secrets.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Connection as Tx

from reflexdb.build.signing import SigningKey, Trusted, key_id, pem
from reflexdb.control.audit import note
from reflexdb.control.rooms import new_id
from reflexdb.model.errors import Conflict, NotFound, ReflexError
from reflexdb.records import accounts, builds
from reflexdb.records.secrets import SecretStore
from reflexdb.records.store import Store

log = structlog.get_logger()

SIGNING_SECRET = "image-signing"  # noqa: S105 - its name
MAX_KEYS = 100


@dataclass(frozen=True, slots=True)
class PublicKey:
    id: str
    """Its digest, in hex."""
    row_id: str
    """What the audit calls it."""
    public: str
    """The raw 32 bytes, as base64."""
    created_at: str
    retired_at: str | None = None

    @property
    def key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(b64decode(self.public))

    @property
    def pem(self) -> str:
        return pem(self.key)


@dataclass(frozen=True, slots=True)
class _Ring:
    private: bytes = field(repr=False)
    keys: tuple[PublicKey, ...]
    """The active one first, then retired ones, the newest first."""
    unsigned: tuple[str, ...] = ()
    """Digests of images from before there was a key, still to be signed."""

    def to_bytes(self) -> bytes:
        document = {
            "private": b64encode(self.private).decode("ascii"),
            "keys": [asdict(key) for key in self.keys],
            "unsigned": self.unsigned,
        }
        return json.dumps(document).encode("ascii")

    @classmethod
    def from_bytes(cls, content: bytes) -> _Ring:
        document = json.loads(content)
        keys = tuple(PublicKey(**each) for each in document["keys"])
        return cls(b64decode(document["private"]), keys, tuple(document["unsigned"]))


class Signing:
    """The SigningKeys of a control plane. Any thread; planes on one directory have the same keys."""

    def __init__(self, store: Store, secrets: SecretStore, now: Callable[[], datetime]) -> None:
        self._store = store
        self._secrets = secrets
        self._now = now
        self._read: tuple[bytes, _Ring, Trusted] | None = None

    def active(self) -> SigningKey:
        return SigningKey.from_private_bytes(self._ensured().private)

    def trusted(self) -> Trusted:
        return self._present()[1] if self._known() else {}

    def public(self) -> tuple[PublicKey, ...]:
        """The active one first, then retired ones, the newest first."""
        return self._ensured().keys

    def start(self, sign: Callable[[str], None]) -> None:
        """Have a key, and sign what is from before there was one."""
        waiting = self._ensured().unsigned
        if not waiting:
            return
        for digest in waiting:
            try:
                sign(digest)
                log.info("image_signed", digest=digest)
            except ReflexError as exc:  # it was not whole before either
                log.warning("image_not_signed", digest=digest, error=exc.message)
        with self._store.write():
            self._put(replace(self._present()[0], unsigned=()))

    def rotate(self) -> PublicKey:
        """Sign with a new key from now on; the one before stays trusted. Raises Conflict where there are very many."""
        self._ensured()
        with self._store.write() as tx:
            ring = self._present()[0]
            if len(ring.keys) >= MAX_KEYS:
                raise Conflict(f"{MAX_KEYS} keys are trusted; remove some that nothing deployable is signed by")
            private, made = self._new()
            former = replace(ring.keys[0], retired_at=made.created_at)
            self._put(_Ring(private, (made, former, *ring.keys[1:]), ring.unsigned))
            self._tell(tx, "signingKey.rotate", made, before={"keyId": former.id}, after={"keyId": made.id})
        log.info("signing_key_rotated", key=made.id, former=former.id)
        return made

    def remove(self, wanted: str) -> None:
        """Trust a retired key no more: what it alone has signed can't be deployed. Raises NotFound, Conflict."""
        self._ensured()
        with self._store.write() as tx:
            ring = self._present()[0]
            if wanted == ring.keys[0].id:
                raise Conflict("This key signs images now; rotate first, then remove it")
            known = {key.id: key for key in ring.keys}
            gone = known.pop(wanted, None)
            if gone is None:
                raise NotFound("No signing key with this id is trusted here")
            self._put(replace(ring, keys=tuple(known.values())))
            self._tell(tx, "signingKey.remove", gone, before={"keyId": wanted})
        log.info("signing_key_removed", key=wanted)

    def _ensured(self) -> _Ring:
        if not self._known():
            with self._store.write() as tx:
                if not self._known():
                    private, made = self._new()
                    self._put(_Ring(private, (made,), tuple(sorted(builds.image_digests(tx)))))
                    log.info("signing_key_made", key=made.id)
        return self._present()[0]

    def _known(self) -> bool:
        return SIGNING_SECRET in self._secrets.names()

    def _present(self) -> tuple[_Ring, Trusted]:
        content = self._secrets.get(SIGNING_SECRET)
        read = self._read
        if read is None or read[0] != content:
            ring = _Ring.from_bytes(content)
            read = self._read = (content, ring, {key.id: key.key for key in ring.keys})
        return read[1], read[2]

    def _put(self, ring: _Ring) -> None:
        self._secrets.put(SIGNING_SECRET, ring.to_bytes())

    def _new(self) -> tuple[bytes, PublicKey]:
        private = Ed25519PrivateKey.generate()
        public = private.public_key()
        raw = b64encode(public.public_bytes_raw()).decode("ascii")
        return private.private_bytes_raw(), PublicKey(key_id(public), new_id(), raw, self._now().isoformat())

    def _tell(self, tx: Tx, action: str, target: PublicKey, **what: dict[str, str]) -> None:
        home = accounts.first_customer(tx)
        if home is not None:
            note(tx, self._now(), home.id, action, target.row_id, **what)
