"""What a builder sends to a machine that builds for it, and what comes back: objects below one address in S3.

Written and read by codebuild.py here and by `__main__.py` there, which may be of another version: what is read is held
to be anything. It refuses to know services, signatures and stores.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import reflexdb
from reflexdb.build.aws import Bucket, Clients, S3Images
from reflexdb.build.compile import sources_sha256
from reflexdb.build.image import ImageParts, canonical_json
from reflexdb.build.remote import pull, push
from reflexdb.model.errors import BuildFailed
from reflexdb.model.plan import Plan

_TASK, _OUTCOME, _IMAGE = "task.json", "outcome.json", "image"
_MAX_TASK_BYTES = 64 << 20
_MAX_OUTCOME_BYTES = 64 << 10
_MAX_MESSAGE_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Task:
    """Everything that a build there is made of, besides the engine and the compiler."""

    plan: Plan
    config_text: str | None


class Errand:
    """One build elsewhere. Every method raises RegistryDenied, RegistryRefused or RegistryUnreachable."""

    def __init__(self, address: str, clients: Clients) -> None:
        """Raises InvalidRequest where `address` is no place in S3."""
        self.address = address
        self._bucket = Bucket(address, clients)
        self._images = S3Images(f"{address}/{_IMAGE}", clients)

    def put_task(self, task: Task) -> None:
        document = {
            **_program(),
            "plan": task.plan.to_json(),
            "config": task.config_text,
        }
        self._bucket.put(_TASK, canonical_json(document), "application/json")

    def task(self) -> Task:
        """Raises BuildFailed where it is not there, or was written by another version."""
        content = self._bucket.get(_TASK, _MAX_TASK_BYTES)
        if content is None:
            raise BuildFailed("task", f"There is nothing to build at {self.address}.")
        document = _read(content)
        here = _program()
        there = {name: document.get(name) for name in here}
        if there != here:
            raise BuildFailed(
                "task",
                f"The control plane has reflexdb {_shown(there)}, the build's machine {_shown(here)}; both must be the "
                "same: give the CodeBuild project an image with that of the control plane.",
            )
        try:
            return Task(Plan.from_json(document["plan"]), document["config"])
        except (KeyError, TypeError, ValueError) as exc:
            raise BuildFailed("task", f"The task at {self.address} can't be read.") from exc

    def put_image(self, parts: ImageParts) -> None:
        """The image first, then that it is there."""
        push(self._images, parts, None, lambda _line: None)
        self._bucket.put(_OUTCOME, canonical_json({"digest": parts.manifest.digest}), "application/json")

    def put_failure(self, step: str, message: str) -> None:
        document = {"step": step[:100], "message": message[:_MAX_MESSAGE_CHARS]}
        self._bucket.put(_OUTCOME, canonical_json(document), "application/json")

    def image(self) -> ImageParts | None:
        """What was made, every byte as its digest says; None where nobody said how it ended. Raises ImageDamaged, and
        BuildFailed with what went wrong there."""
        content = self._bucket.get(_OUTCOME, _MAX_OUTCOME_BYTES)
        if content is None:
            return None
        outcome = _read(content)
        if isinstance(outcome.get("digest"), str):
            return pull(self._images, outcome["digest"]).parts
        step, message = str(outcome.get("step"))[:100], str(outcome.get("message"))[:_MAX_MESSAGE_CHARS]
        raise BuildFailed(step, message)

    def clear(self) -> None:
        self._bucket.clear()


def _program() -> dict[str, str]:
    """What must be the same there and here."""
    return {"version": reflexdb.__version__, "engine": sources_sha256()}


def _shown(program: Mapping[str, object]) -> str:
    return f"{str(program['version'])[:40]} (engine {str(program['engine'])[:12]})"


def _read(content: bytes) -> dict[str, Any]:
    """An empty one for what is no JSON object."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
