"""Where deployments are on disk, and which of them serves.

    ROOT/<database_id>/current -> <deployment_id>      flipped atomically: the truth after a crash
    ROOT/<database_id>/beside -> <deployment_id>       one more that runs: it takes a share of the connections, or none
    ROOT/<database_id>/<deployment_id>/                instance.json, the server's binary, sync.json, sockets, logs

Called by everything else in this package. Assumes one control plane at a time; knows no processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from reflexdb.deploy.base import Deployed, InstanceSpec
from reflexdb.sync.settings import replace_file

CURRENT = "current"
BESIDE = "beside"
RECORD = "instance.json"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True, slots=True)
class Record:
    """What a deployment was started with, less the plan (in sync.json) and all secrets."""

    database_id: str
    deployment_id: str
    build_id: str
    image_digest: str
    binary: str
    host: str
    port: int
    endpoint_url: str
    memory_cap_mb: int
    cpu_units: int
    log_level: str

    @classmethod
    def of(cls, spec: InstanceSpec, binary: str, host: str, port: int, endpoint_url: str) -> Record:
        return cls(
            spec.database_id,
            spec.deployment_id,
            spec.build_id,
            spec.image_digest,
            binary,
            host,
            port,
            endpoint_url,
            spec.memory_cap_mb,
            spec.cpu_units,
            spec.log_level,
        )

    def save(self, directory: Path) -> None:
        replace_file(directory / RECORD, json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def load(cls, directory: Path) -> Record:
        """Raises OSError or ValueError for a deployment that was never launched."""
        try:
            return cls(**json.loads((directory / RECORD).read_bytes()))
        except TypeError as exc:
            raise ValueError(f"{directory / RECORD} is not a record of this version: {exc}") from exc

    def deployed(self) -> Deployed:
        return Deployed(self.database_id, self.deployment_id, self.build_id, self.port, self.endpoint_url)


class Layout:
    """Paths under one root. Ids become names of directories, so anything but plain ids is refused with ValueError."""

    def __init__(self, root: Path) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root = root.resolve()

    def database(self, database_id: str) -> Path:
        return self.root / _checked(database_id)

    def deployment(self, database_id: str, deployment_id: str) -> Path:
        return self.database(database_id) / _checked(deployment_id)

    def databases(self) -> list[str]:
        return sorted(entry.name for entry in self.root.iterdir() if entry.is_dir() and _ID.fullmatch(entry.name))

    def names(self, database_id: str) -> set[str]:
        """Everything in the database's directory; nothing where it has none."""
        return {entry.name for entry in self._entries(database_id)}

    def deployments(self, database_id: str) -> list[str]:
        """Every deployment that has a directory, `current` or not."""
        entries = self._entries(database_id)
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.is_symlink())

    def _entries(self, database_id: str) -> list[Path]:
        try:
            return list(self.database(database_id).iterdir())
        except FileNotFoundError:
            return []

    def current(self, database_id: str) -> Path | None:
        """The directory of the deployment that serves or should."""
        return self._target(database_id, CURRENT)

    def beside(self, database_id: str) -> Path | None:
        """The directory of the deployment beside it; None where there is none, or it has become the current one."""
        target = self._target(database_id, BESIDE)
        return None if target == self.current(database_id) else target

    def _target(self, database_id: str, name: str) -> Path | None:
        link = self.database(database_id) / name
        try:
            target = self.deployment(database_id, str(link.readlink()))
        except (OSError, ValueError):
            return None
        return target if target.is_dir() else None

    def record(self, database_id: str) -> Record | None:
        """The record of the current deployment."""
        directory = self.current(database_id)
        try:
            return Record.load(directory) if directory else None
        except (OSError, ValueError):
            return None

    def set_beside(self, database_id: str, deployment_id: str) -> None:
        home = self.database(database_id)
        fresh = home / (BESIDE + ".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(_checked(deployment_id))
        fresh.replace(home / BESIDE)

    def unset_beside(self, database_id: str) -> None:
        (self.database(database_id) / BESIDE).unlink(missing_ok=True)

    def prepare_flip(self, database_id: str, deployment_id: str) -> None:
        """Everything about `flip` that may fail for want of space."""
        link = self.database(database_id) / (CURRENT + ".new")
        link.unlink(missing_ok=True)
        link.symlink_to(_checked(deployment_id))

    def flip(self, database_id: str) -> None:
        """Make the prepared deployment the current one, at once and whole."""
        home = self.database(database_id)
        (home / (CURRENT + ".new")).replace(home / CURRENT)
        with contextlib.suppress(OSError):  # it is done for every reader; only a power cut could still undo it
            _flush(home)

    def drop_prepared(self, database_id: str) -> None:
        """Forget a flip that was prepared and never carried out."""
        for name in (CURRENT, BESIDE):
            (self.database(database_id) / (name + ".new")).unlink(missing_ok=True)

    def unset_current(self, database_id: str) -> None:
        (self.database(database_id) / CURRENT).unlink(missing_ok=True)

    def remove_deployment(self, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)

    def remove_database(self, database_id: str) -> None:
        shutil.rmtree(self.database(database_id), ignore_errors=True)


def _checked(identifier: str) -> str:
    if not _ID.fullmatch(identifier) or identifier in (CURRENT, BESIDE):
        raise ValueError(f"{identifier!r} cannot be the id of a database or deployment")
    return identifier


def _flush(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
