"""The builder at AWS CodeBuild: compilers run there, everything that must be trusted stays here.

Used by control where the operator names a project. The plan is made here and put into S3 as a task; the project's
machine runs `python -m reflexdb.build` on it and puts an image, unsigned, beside it; here the image is held against the
plan, tried on rows of the source, and signed. So no password, no row and no key leaves this machine. Whoever may write
below the tasks' address decides what is compiled, which is why it has to belong to this control plane alone.
It refuses to know databases, accounts and records.
"""

from __future__ import annotations

import hashlib
import platform
import re
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from tarfile import TarError
from typing import Any

import reflexdb
from reflexdb.build.aws import Clients, translated
from reflexdb.build.base import Begun, BuildRequest, BuildResult, Check, Log, Passed, Service, Trial, unchecked
from reflexdb.build.compile import sources_sha256
from reflexdb.build.differences import json_of
from reflexdb.build.errand import Errand, Task
from reflexdb.build.files import scratch_directory
from reflexdb.build.image import SERVER_PATH, ImageParts, canonical_json, extract
from reflexdb.build.local import MANIFEST_FORMAT, planned, sha256_of
from reflexdb.build.phases import Phases
from reflexdb.build.remote import Remote
from reflexdb.build.shelf import Shelf
from reflexdb.build.signing import SigningKeys
from reflexdb.model.compute import select_tier
from reflexdb.model.errors import BuildFailed, InvalidRequest, RegistryError, RegistryRefused, RegistryUnreachable
from reflexdb.model.plan import Plan

STEP = "codebuild"
TASK_VARIABLE = "REFLEXDB_TASK"
BUILDSPEC = f"""version: 0.2
phases:
  build:
    commands:
      - python3 -m reflexdb.build "${TASK_VARIABLE}"
"""
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{1,149}")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MAX_LINE_CHARS = 2_000
_LOOK = "look at the project's environment and at who may write to the tasks' bucket"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the service is asked, in seconds."""

    ask_s: float = 3.0
    patience_s: float = 180.0
    """For how long it may be out of reach before the build fails."""


@dataclass(frozen=True, slots=True)
class Project:
    """Where it is built."""

    name: str
    tasks: str
    """The address in S3 under which tasks and images are exchanged."""
    clients: Clients
    pace: Pace = Pace()

    def __post_init__(self) -> None:
        """Raises InvalidRequest; nothing is asked of AWS."""
        if not _PROJECT.fullmatch(self.name):
            raise InvalidRequest(f"{self.name[:200]!r} is no name of a CodeBuild project")
        Errand(self.tasks, self.clients)
        try:
            with translated("CodeBuild"):
                self.clients.client("codebuild")
        except RegistryError as exc:
            raise InvalidRequest(f"{exc.message}; set AWS_DEFAULT_REGION, or a region in AWS's configuration") from exc


class CodeBuild:
    """Builder on a project."""

    def __init__(
        self, data_dir: Path, project: Project, keys: SigningKeys | None = None, elsewhere: Remote | None = None
    ) -> None:
        self._work = data_dir.absolute() / "cache" / "work"
        self._project = project
        self._clients = project.clients
        self._shelf = Shelf(data_dir, keys, elsewhere)
        self.store = self._shelf.store

    def build(
        self, request: BuildRequest, log: Log, passed: Passed | None = None, check: Check = unchecked
    ) -> BuildResult:
        phases = Phases(log, passed, check)
        with phases.run("plan"):
            plan = planned(request, log)
        try:
            return self._built(plan, request, phases, log)
        except RegistryError as exc:
            raise BuildFailed(STEP, f"{exc.message}.") from exc

    def stop(self, service_id: str) -> None:
        _stop(self._clients, service_id)

    def _built(self, plan: Plan, request: BuildRequest, phases: Phases, log: Log) -> BuildResult:
        key = self._key(plan, request)
        known = self._shelf.reused(key, phases, log)
        if known is not None:
            return BuildResult(known, plan)
        parts = self._made(plan, request, phases, log)
        with phases.run("smoke"):
            self._try_out(plan, request, parts, phases, log)
        return BuildResult(self._shelf.keep(parts, key, phases, log), plan)

    def _key(self, plan: Plan, request: BuildRequest) -> str:
        """Everything that decides an image's bytes; of the compiler, the image that the project has it from."""
        document = {
            "builder": f"codebuild {self._project.name}",
            "environment": self._environment(),
            "version": reflexdb.__version__,
            "engine": sources_sha256(),
            "manifest": MANIFEST_FORMAT,
            "plan": plan.to_json(),
            "config": sha256_of(request.config_text),
            "smoked": request.smoke is not None,
        }
        return hashlib.sha256(canonical_json(document)).hexdigest()

    def _environment(self) -> list[str]:
        name = self._project.name
        with translated(f"the CodeBuild project {name}"):
            found = self._clients.client("codebuild").batch_get_projects(names=[name])["projects"]
        if not found:
            raise BuildFailed(STEP, f"There is no CodeBuild project {name!r} in this account and region.")
        environment = found[0]["environment"]
        return [str(environment.get("type")), str(environment.get("image"))]

    def _made(self, plan: Plan, request: BuildRequest, phases: Phases, log: Log) -> ImageParts:
        task_id = str(uuid.uuid4())
        errand = Errand(f"{self._project.tasks}/tasks/{task_id}", self._clients)
        try:
            errand.put_task(Task(plan, request.config_text))
            compute = request.compute or select_tier(plan)
            run = _Run(self._project, request.begun, phases, log)
            run.start(errand.address, task_id, compute)
            status = run.wait()
            parts = errand.image()
            if parts is None:
                raise BuildFailed(STEP, run.why(status))
        finally:
            try:
                errand.clear()
            except RegistryError as exc:
                log(f"codebuild: {errand.address} could not be cleared: {exc.message}")
        _held_against(parts, plan, request)
        return parts

    def _try_out(self, plan: Plan, request: BuildRequest, parts: ImageParts, phases: Phases, log: Log) -> None:
        if request.smoke is None:
            log("smoke: not run: there is nothing to try this server with")
            return
        with scratch_directory(self._work) as directory:
            server = directory / SERVER_PATH
            server.write_bytes(extract(parts.layer.content, SERVER_PATH))
            server.chmod(0o755)
            request.smoke(Trial(server, plan, log, phases.check))


class _Run:
    """One build at the service, from its start to its end."""

    def __init__(self, project: Project, begun: Begun, phases: Phases, log: Log) -> None:
        self._clients = project.clients
        self._builds = project.clients.client("codebuild")
        self._project = project
        self._begun = begun
        self._phases = phases
        self._log = log
        self._lines: _Lines | None = None
        self._seen: set[str] = set()
        self._contexts: list[str] = []
        self._id = ""
        self._told: Service | None = None

    def start(self, address: str, token: str, compute: str) -> None:
        with translated(f"the CodeBuild project {self._project.name}"):
            started = self._builds.start_build(
                projectName=self._project.name,
                sourceTypeOverride="NO_SOURCE",
                artifactsOverride={"type": "NO_ARTIFACTS"},
                buildspecOverride=BUILDSPEC,
                computeTypeOverride=compute,
                environmentVariablesOverride=[{"name": TASK_VARIABLE, "value": address, "type": "PLAINTEXT"}],
                idempotencyToken=token,
            )["build"]
        self._id = started["id"]
        self._log(f"codebuild: started {self._id} on {compute}")
        self._heard_of(started)

    def wait(self) -> str:
        """The service's last word, once the build has ended there. What `check` raises ends it there too."""
        try:
            with self._phases.run(STEP):
                return self._waited()
        except BaseException:
            self._stop()
            raise

    def why(self, status: str) -> str:
        """Why there is no image, as far as the service says."""
        said = "; ".join(self._contexts) or "its log may say more"
        remedy = {
            "TIMED_OUT": "give the project a longer timeout or the database a larger buildComputeOverride",
            "STOPPED": "somebody stopped it there; build again",
            "FAULT": "that is a fault of the service; build again",
        }.get(status, f"the project's image needs Python, a C++ compiler and reflexdb[aws] {reflexdb.__version__}")
        return f"CodeBuild ended {self._id} as {status} without an image ({said}): {remedy}."

    def _waited(self) -> str:
        reached = time.monotonic()
        while True:
            try:
                found = self._asked()
                reached = time.monotonic()
            except RegistryUnreachable as exc:
                if time.monotonic() - reached > self._project.pace.patience_s:
                    raise
                self._log(f"codebuild: asked in vain, and will again: {exc.message}")
            else:
                if found["buildStatus"] != "IN_PROGRESS":
                    return str(found["buildStatus"])
            self._sleep()

    def _asked(self) -> dict[str, Any]:
        with translated(f"CodeBuild ({self._id})"):
            known = self._builds.batch_get_builds(ids=[self._id])["builds"]
        if not known:
            raise RegistryRefused(f"CodeBuild does not know {self._id} any more; build again")
        found = known[0]
        self._heard_of(found)
        for phase in found.get("phases", ()):
            self._phase(phase)
        if self._lines is not None:
            self._lines.relay()
        return dict(found)

    def _phase(self, phase: dict[str, Any]) -> None:
        name, status = str(phase.get("phaseType")).lower(), phase.get("phaseStatus")
        if status is None or name in self._seen or name in {"submitted", "completed"}:
            return
        self._seen.add(name)
        failed = status != "SUCCEEDED"
        self._phases.heard(f"codebuild {name}", float(phase.get("durationInSeconds") or 0), failed=failed)
        if failed:
            said = (" ".join(str(each.get("message") or "").split()) for each in phase.get("contexts", ()))
            self._contexts += [f"{name}: {each[:500]}" for each in said if each]

    def _heard_of(self, build: dict[str, Any]) -> None:
        logs = build.get("logs") or {}
        service = Service(self._id, logs.get("deepLink"))
        if self._told is None or (service != self._told and service.logs_url is not None):
            self._begun(service)
            self._told = service
        if self._lines is None and logs.get("groupName") and logs.get("streamName"):
            self._lines = _Lines(self._clients.client("logs"), logs["groupName"], logs["streamName"], self._log)

    def _sleep(self) -> None:
        """Until the next question; who calls the build off is heard meanwhile."""
        until = time.monotonic() + self._project.pace.ask_s
        while True:
            self._phases.check()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.25))

    def _stop(self) -> None:
        try:
            _stop(self._clients, self._id)
        except RegistryError as exc:
            self._log(f"codebuild: {self._id} could not be stopped and may go on: {exc.message}")
        else:
            self._log(f"codebuild: stopped {self._id}")


def _stop(clients: Clients, service_id: str) -> None:
    with translated(f"CodeBuild (stop {service_id:.200})"):
        clients.client("codebuild").stop_build(id=service_id)


class _Lines:
    """The lines that CloudWatch has of a build, each passed on once."""

    def __init__(self, logs: Any, group: str, stream: str, log: Log) -> None:
        self._logs = logs
        self._from: dict[str, Any] = {"logGroupName": group, "logStreamName": stream, "startFromHead": True}
        self._log = log
        self._given_up = False

    def relay(self) -> None:
        """A log that can't be read fails no build; it is said once."""
        if self._given_up:
            return
        try:
            with translated("the build's lines in CloudWatch"):
                self._relay()
        except RegistryUnreachable:
            return
        except RegistryError as exc:
            if "ResourceNotFoundException" in exc.message:  # nothing was written yet
                return
            self._given_up = True
            self._log(f"codebuild: no lines from there: {exc.message}")

    def _relay(self) -> None:
        while True:
            answer = self._logs.get_log_events(**self._from)
            for event in answer["events"]:
                for line in str(event["message"]).splitlines():
                    self._log(f"codebuild: {line[:_MAX_LINE_CHARS]}")
            token = answer.get("nextForwardToken")
            if token is None or token == self._from.get("nextToken"):
                return
            self._from["nextToken"] = token


def _held_against(parts: ImageParts, plan: Plan, request: BuildRequest) -> None:
    """Raises BuildFailed where the image is of another plan, configuration, version or machine than was asked for, or
    none of ours."""
    try:
        document = json_of(parts)
        pairs = {
            "plan": (canonical_json(plan.to_json()), canonical_json(document["plan"])),
            "config_sha256": (sha256_of(request.config_text), document["config_sha256"]),
            "engine version": (reflexdb.__version__, document["engine"]["version"]),
            "machine": (_ARCHITECTURES.get(platform.machine(), platform.machine()), parts.architecture),
        }
    except (KeyError, TypeError, ValueError, RecursionError, TarError) as exc:
        raise BuildFailed(STEP, f"What came back is no image of a server; {_LOOK}.") from exc
    other = [name for name, (wanted, found) in pairs.items() if wanted != found]
    if other:
        raise BuildFailed(STEP, f"The image that came back is not what was asked for ({', '.join(other)}); {_LOOK}.")
