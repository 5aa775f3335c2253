"""The image store of a control plane that keeps its images elsewhere too: in a registry, or in S3.

The directory stays the store that everything is read from; the other place gets every image that is made, and gives
back what the directory lacks when it is to be deployed. What comes back is held to the same rules: every byte, and a
signature by a trusted key. It refuses to know how the other place is spoken to.
"""

from __future__ import annotations

from pathlib import Path

from reflexdb.build import remote
from reflexdb.build.base import Log
from reflexdb.build.signing import SigningKeys
from reflexdb.build.store import DirectoryStore
from reflexdb.model.errors import ImageDamaged, RegistryRefused
from reflexdb.model.plan import Plan


class MirroredStore(DirectoryStore):
    mirrored = True

    def __init__(self, root: Path, elsewhere: remote.Remote, keys: SigningKeys | None = None) -> None:
        super().__init__(root, keys)
        self._elsewhere = elsewhere

    def push(self, digest: str, log: Log) -> str:
        return remote.push(self._elsewhere, self.parts(digest), self.signature_parts(digest), log)

    def pull(self, digest: str) -> None:
        """Nothing is fetched where the image is here, whole and trusted."""
        if not self.verify(digest):
            pulled = remote.pull(self._elsewhere, digest)
            self.adopt(pulled.parts, pulled.signature)

    def plan(self, digest: str) -> Plan:
        """What a deployment asks first: an image that is missing here is fetched."""
        why_not = self.why_not(digest)
        if why_not is not None:
            try:
                self.pull(digest)
            except RegistryRefused as exc:
                raise ImageDamaged(f"{why_not} Nor can it be fetched: {exc.message}.") from exc
        return super().plan(digest)
