"""What the control plane knows of building: one call, phases reported as they pass, a log line at a time.

Called by control from a worker thread. A builder refuses to know databases, accounts or records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from reflexdb.build.image import ImageParts
from reflexdb.model.plan import Plan
from reflexdb.model.schema import SourceSchema


@dataclass(frozen=True, slots=True)
class Image:
    """A stored image. `digest` is the OCI manifest's, `sha256:<hex>`."""

    digest: str
    uri: str
    """`oci:<absolute directory>@<digest>`."""
    size_bytes: int
    reused: bool = False
    """True where the same inputs had been built before and nothing was compiled."""


@dataclass(frozen=True, slots=True)
class BuildResult:
    image: Image
    plan: Plan
    others: Mapping[str, Image] = field(default_factory=dict)
    """The same for other platforms, by their names, where these were asked for."""


Log = Callable[[str], None]
"""Takes one line for the build's log, without time stamp or line end."""


Passed = Callable[[str, float, bool], None]
"""Hears of a pass that has ended: its name, how many seconds it took, and whether it failed."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Ed25519, of `payload`, which names the image by its digest."""

    key_id: str
    payload: bytes
    signature: bytes


Check = Callable[[], None]
"""Called again and again, on any thread, while something is waited for; what it raises ends the build."""


def unchecked() -> None:
    """A build that nobody calls off."""


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """One question put to a new server, and what came of it."""

    name: str
    """Of what was asked for: a table, or a table, a dot and a relation; with two of them, one relation in another."""
    query: str
    passed: bool
    duration_ms: float
    message: str
    """What was found; of one that failed, what was expected too. No value of a row is in it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A server that was made, before it is an image."""

    server: Path
    """The program; its directory may be written to."""
    plan: Plan
    log: Log
    check: Check


Smoke = Callable[[Trial], None]
"""Tries a server out. What it raises ends the build, and there is no image: BuildFailed("smoke") where the server is at
fault."""


@dataclass(frozen=True, slots=True)
class Service:
    """A build as the service calls it that carries it out."""

    id: str
    logs_url: str | None
    """Where a person may look at it; None until the service says."""


Begun = Callable[[Service], None]
"""Hears, before anything is waited for, of the service's build, and again once more is known of it."""


def unheard(_service: Service) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class BuildRequest:
    schema: SourceSchema
    config_text: str | None
    """The stored reflexdb.yaml, or None."""
    smoke: Smoke | None = None
    """None: nothing is there to try the server with, so it is not tried."""
    compute: str | None = None
    """The compute type that was asked for, where the builder has any; None: the one that the plan stands for."""
    begun: Begun = unheard


class Builder(Protocol):
    """Makes images. Raises InvalidConfig, InvalidSchema or BuildFailed (with the pass as its step)."""

    def build(
        self, request: BuildRequest, log: Log, passed: Passed | None = None, check: Check = unchecked
    ) -> BuildResult: ...


@runtime_checkable
class Stoppable(Protocol):
    """A builder whose builds go on elsewhere when the control plane dies."""

    def stop(self, service_id: str) -> None:
        """End a build that nobody waits for any more; one that has ended is left alone. Raises RegistryError."""
        ...


@dataclass(frozen=True, slots=True)
class StoreUse:
    """What a store takes of its disk."""

    bytes: int
    """Of everything in it."""
    free_bytes: int
    """What may still be written there."""


@runtime_checkable
class Measurable(Protocol):
    """An image store that knows the disk it is on."""

    def use(self) -> StoreUse: ...


class ImageStore(Protocol):
    """Keeps images by digest. Everything read from it is verified against the digest, and signed by a trusted key."""

    mirrored: bool
    """Whether images are kept elsewhere too, from where what is missing here can be had."""

    def uri(self, digest: str) -> str:
        """Where an image is or would be: `oci:DIRECTORY@DIGEST`."""
        ...

    def verify(self, digest: str) -> bool:
        """True where the image is stored, every byte of it matches and a trusted key has signed it; False where
        anything is missing or differs."""
        ...

    def why_not(self, digest: str) -> str | None:
        """Why an image may not be deployed, in one sentence; None where `verify` is true."""
        ...

    def signature(self, digest: str) -> Signature | None:
        """An image's, by a trusted key; None where there is none."""
        ...

    def document(self, digest: str) -> dict[str, Any]:
        """The image's /reflexdb/manifest.json. Raises ImageDamaged."""
        ...

    def plan(self, digest: str) -> Plan:
        """The plan in the image's manifest. Raises ImageDamaged."""
        ...

    def unpack(self, digest: str, directory: Path) -> Path:
        """Verify, write the server binary into `directory` (mode 0755) and return its path. Raises ImageDamaged."""
        ...

    def parts(self, digest: str) -> ImageParts:
        """The blobs of an image, to be put elsewhere. Raises ImageDamaged."""
        ...

    def push(self, digest: str, log: Log) -> str:
        """Put an image elsewhere too, and return its address there. Raises Unavailable, ImageDamaged."""
        ...

    def pull(self, digest: str) -> None:
        """Have an image here from elsewhere. Raises Unavailable, ImageDamaged, BuildFailed("package")."""
        ...

    def sign(self, digest: str) -> None:
        """Have an image that is here already signed by the key that signs now. Raises ImageDamaged."""
        ...

    def remove(self, digest: str) -> None: ...

    def made(self) -> set[str]:
        """What was to be stored, as new images, since this store was opened."""
        ...

    def tidy(self) -> None:
        """Remove what a change that broke off could not. Raises OSError, and can be tried again."""
        ...
