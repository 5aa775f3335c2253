"""The operations on what was built: histories, logs, images and what proves them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Unpack
from urllib.parse import quote

from reflexdb.client.calls import Calls
from reflexdb.client.deployment_types import DeploymentRecords
from reflexdb.client.errors import ApiError, Unreachable
from reflexdb.client.events import events
from reflexdb.client.evidence_types import BuildDifference, DatabaseDisk, MovedImage, SigningKey, Verification
from reflexdb.client.transport import RETRIED_STATUSES
from reflexdb.client.types import Accepted, BuildDetail, BuildFilters, BuildHistory

IMAGE_TIMEOUT_S = 300.0
VERIFY_TIMEOUT_S = 900.0
LOG_POLL_S = 0.4
LOG_PATIENCE_S = 60.0


def log_path(database_id: str, build_id: str) -> str:
    """Where the control plane itself has a build's log."""
    return f"/v1/databases/{quote(database_id, safe='')}/builds/{quote(build_id, safe='')}/log"


class Builds(Calls):
    """Part of `ReflexClient`."""

    def list_builds(self, database_id: str, **filters: Unpack[BuildFilters]) -> BuildHistory:
        """Newest first; all of them without filters."""
        answer: BuildHistory = self._call("GET", "databases", database_id, "builds", query=filters)
        return answer

    def get_build(self, database_id: str, build_id: str) -> BuildDetail:
        answer: BuildDetail = self._call("GET", "databases", database_id, "builds", build_id)
        return answer

    def list_deployments(
        self, database_id: str, limit: int | None = None, cursor: str | None = None
    ) -> DeploymentRecords:
        """Newest first; `nextCursor` of an answer asks for what comes after it."""
        query = {"limit": limit, "cursor": cursor}
        answer: DeploymentRecords = self._call("GET", "databases", database_id, "deployments", query=query)
        return answer

    def get_provenance(self, database_id: str, build_id: str) -> dict[str, Any]:
        """The DSSE envelope of a build's SLSA provenance."""
        answer: dict[str, Any] = self._call("GET", "databases", database_id, "builds", build_id, "provenance")
        return answer

    def export_image(self, database_id: str, build_id: str, platform: str | None = None) -> bytes:
        """A tar with the build's image, for any OCI tool; for `platform` (like linux/arm64), or the control plane's."""
        path = f"/v1/databases/{quote(database_id, safe='')}/builds/{quote(build_id, safe='')}/image"
        path += f"?platform={quote(platform, safe='')}" if platform else ""
        return self._http.send("GET", path, None, None, timeout=IMAGE_TIMEOUT_S).content

    def push_image(self, database_id: str, build_id: str) -> MovedImage:
        """Put it into the control plane's registry."""
        answer: MovedImage = self._call(
            "POST", "databases", database_id, "builds", build_id, "image", "push", timeout=IMAGE_TIMEOUT_S
        )
        return answer

    def pull_image(self, database_id: str, build_id: str) -> MovedImage:
        """Have it at the control plane again, from its registry."""
        answer: MovedImage = self._call(
            "POST", "databases", database_id, "builds", build_id, "image", "pull", timeout=IMAGE_TIMEOUT_S
        )
        return answer

    def diff_builds(self, database_id: str, build_id: str, against: str | None = None) -> BuildDifference:
        """What is different in a build from another, the newest before it where none is named."""
        answer: BuildDifference = self._call(
            "GET", "databases", database_id, "builds", build_id, "diff", query={"against": against}
        )
        return answer

    def disk_use(self, database_id: str) -> DatabaseDisk:
        """The images of the database's builds that are stored now."""
        answer: DatabaseDisk = self._call("GET", "databases", database_id, "disk-use")
        return answer

    def verify_build(self, database_id: str, build_id: str, *, fresh: bool = False) -> Verification:
        """Have the build's image made again; with `fresh` its engine, too. Answers when that is done."""
        wanted = {"engine": "fresh" if fresh else "cached"}
        answer: Verification = self._call(
            "POST", "databases", database_id, "builds", build_id, "verify", query=wanted, timeout=VERIFY_TIMEOUT_S
        )
        return answer

    def pin_build(self, database_id: str, build_id: str) -> None:
        """Keep the build's image, whatever comes after it."""
        self._call("POST", "databases", database_id, "builds", build_id, "pin")

    def unpin_build(self, database_id: str, build_id: str) -> None:
        self._call("DELETE", "databases", database_id, "builds", build_id, "pin")

    def get_sbom(self, database_id: str, build_id: str) -> dict[str, Any]:
        """CycloneDX of a build's image."""
        answer: dict[str, Any] = self._call("GET", "databases", database_id, "builds", build_id, "sbom")
        return answer

    def cancel_build(self, database_id: str, build_id: str) -> Accepted:
        """Call off a build that is not finished; what serves goes on serving."""
        answer: Accepted = self._call("POST", "databases", database_id, "builds", build_id, "cancel")
        return answer

    def list_signing_keys(self) -> list[SigningKey]:
        """The public keys by which images can be checked, the active one first."""
        answer: list[SigningKey] = self._call("GET", "signing-keys")
        return answer

    # Build logs

    def build_log(self, database_id: str, build_id: str, *, patience_s: float = LOG_PATIENCE_S) -> Iterator[str]:
        """The lines of a build's log, live until the build and its deployment have ended, each exactly once.

        A connection that breaks, and a control plane that is started again, are waited for, up to `patience_s` without
        an answer; then Unreachable is raised.
        """
        path = log_path(database_id, build_id)
        seen, answered = "", time.monotonic()
        while True:
            try:
                asked = {"Accept": "text/event-stream"} | ({"Last-Event-ID": seen} if seen else {})
                with self._http.lines(path, asked) as lines:
                    for event in events(lines):
                        answered = time.monotonic()
                        if event.kind == "end":
                            return
                        seen = event.id
                        yield event.data
            except (Unreachable, ApiError) as error:
                away = isinstance(error, Unreachable) or error.status in RETRIED_STATUSES
                if not away or time.monotonic() - answered > patience_s:
                    raise
            time.sleep(LOG_POLL_S)

    def read_log(self, logs_url: str) -> list[str]:
        """The log as far as it is now. `logs_url` is a `log_path`: the `logsUrl` of a build may be a page elsewhere."""
        with self._http.lines(logs_url) as lines:
            return list(lines)

    def follow_log(self, logs_url: str, finished: Callable[[], bool], skip: int = 0) -> Iterator[str]:
        """Lines as they are written, until `finished` says that no more will come. Survives a broken connection."""
        seen = skip
        url = f"{logs_url}{'&' if '?' in logs_url else '?'}follow=true"
        while True:
            last = finished()
            try:
                with self._http.lines(url) as lines:
                    for number, line in enumerate(lines):
                        if number >= seen:
                            seen = number + 1
                            yield line
            except Unreachable:
                if last:
                    raise
            if last:
                return
            time.sleep(LOG_POLL_S)
