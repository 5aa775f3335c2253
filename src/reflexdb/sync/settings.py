"""What a sync process is told: `sync.json` in its instance directory, the password as one line on standard input.

Written by the deployer, read once by `python -m reflexdb.sync`. Whether sync is paused is the presence of a file, so
that it outlives both processes. No secret is ever in a file here.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from reflexdb.model.errors import InvalidRequest
from reflexdb.model.plan import Plan
from reflexdb.model.schema import Backend
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.changes import FollowOptions

SETTINGS_NAME = "sync.json"
PAUSED_NAME = "sync.paused"
MEMORY_NAME = "followed.json"
"""What a follower keeps of its source."""
SECRET_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class SyncProcessSettings:
    """Everything but the secret."""

    plan: Plan
    address: SourceAddress
    """Without its password."""
    mode: str
    interval_s: float
    safety_net_s: int
    """Seconds between thorough reloads; 0 for never."""
    log_level: str = "info"
    follow: FollowOptions | None = None
    """How a mode that follows presents itself at the source; without, there is only polling."""
    former: Path | None = None
    """Directory of the instance whose checkpoint this one begins with."""

    def save(self, directory: Path) -> None:
        document: dict[str, Any] = {
            "plan": self.plan.to_json(),
            "backend": self.address.backend,
            "host": self.address.host,
            "port": self.address.port,
            "user": self.address.user,
            "mode": self.mode,
            "intervalS": self.interval_s,
            "safetyNetS": self.safety_net_s,
            "logLevel": self.log_level,
        }
        if self.follow is not None:
            document |= {"followName": self.follow.name, "serverId": self.follow.server_id}
            document |= {"followPublication": self.follow.publication}
        if self.former is not None:
            document["former"] = str(self.former)
        replace_file(directory / SETTINGS_NAME, json.dumps(document).encode())

    @classmethod
    def load(cls, directory: Path, secret: str = "") -> SyncProcessSettings:
        """Read what `save` wrote and put the password in. Raises InvalidRequest."""
        try:
            document: dict[str, Any] = json.loads((directory / SETTINGS_NAME).read_bytes())
            address = SourceAddress(
                Backend(document["backend"]), document["host"], document["port"], document["user"], secret
            )
            return cls(
                plan=Plan.from_json(document["plan"]),
                address=address,
                mode=document["mode"],
                interval_s=document["intervalS"],
                safety_net_s=document["safetyNetS"],
                log_level=document["logLevel"],
                follow=_follow(document),
                former=Path(document["former"]) if "former" in document else None,
            )
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise InvalidRequest(f"{directory / SETTINGS_NAME} cannot be read as sync's settings: {exc!r}") from exc


def _follow(document: dict[str, Any]) -> FollowOptions | None:
    if "followName" not in document:
        return None
    return FollowOptions(document["followName"], document["serverId"], publication=document.get("followPublication"))


def secret_line(address: SourceAddress) -> bytes:
    """What the sync process reads from standard input."""
    return json.dumps({"password": address.password}).encode("ascii") + b"\n"


def read_secret(stream: BinaryIO) -> str:
    """The password from `secret_line`. Raises InvalidRequest, never with what was read in the message."""
    try:
        password = json.loads(stream.readline(SECRET_BYTES_MAX))["password"]
    except (ValueError, KeyError, TypeError):
        password = None
    if not isinstance(password, str):
        raise InvalidRequest('standard input must hold one line, {"password": "..."}')
    return password


def is_paused(directory: Path) -> bool:
    return (directory / PAUSED_NAME).exists()


def set_paused(directory: Path, paused: bool) -> None:
    if paused:
        (directory / PAUSED_NAME).touch(mode=0o600)
    else:
        (directory / PAUSED_NAME).unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Write so that a reader, or the next start after a power cut, finds the old content or the new one whole."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)
