"""AWS as moto's server has it, with machines at CodeBuild that build: moto itself only keeps books of builds.

A machine is a process that runs what a project's machine would, with the environment that was asked for; moto's answers
are given with the state of that process in them, and its output goes into moto's CloudWatch.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from tests.servers.spawn import free_port

needs_moto = pytest.mark.skipif(
    importlib.util.find_spec("moto") is None or importlib.util.find_spec("boto3") is None,
    reason="needs moto (pip install 'moto[server]' boto3)",
)
REGION = "eu-west-1"
BUCKET = "tasks-of-tests"
PROJECT = "reflexdb-builds"
_ACCESS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}


class Session:
    """boto3, at the test's server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def client(self, service_name: str, **options: Any) -> Any:
        import boto3

        return boto3.client(service_name, **{"endpoint_url": self.url, **_ACCESS, **options})


@contextmanager
def running_moto(directory: Path) -> Iterator[Session]:
    port, log = free_port(), directory / "log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        session, give_up = Session(f"http://127.0.0.1:{port}"), time.monotonic() + 240
        while True:
            try:
                httpx.get(f"{session.url}/moto-api/", trust_env=False, timeout=60)
                break
            except httpx.HTTPError:
                assert process.poll() is None and time.monotonic() < give_up, log.read_text()  # noqa: PT018
                time.sleep(0.1)
        yield session
    finally:
        process.kill()
        process.wait(20)


def make_bucket(session: Session, name: str) -> None:
    session.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})


def make_project(session: Session, name: str = PROJECT) -> None:
    session.client("codebuild").create_project(
        name=name,
        source={"type": "NO_SOURCE", "location": "none", "buildspec": "version: 0.2"},  # moto wants a location
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "reflexdb:1", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole="arn:aws:iam::123456789012:role/service-role/builds",
    )


@dataclass
class Machine:
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    asked: dict[str, Any]
    stopped: bool = False
    told: int = 0


@dataclass
class Machines:
    """A session whose CodeBuild has machines. `program` replaces what they run."""

    session: Session
    program: list[str] = field(default_factory=lambda: [sys.executable, "-m", "reflexdb.build"])
    directory: Path = Path()
    logs: bool = True
    known: dict[str, Machine] = field(default_factory=dict)

    def client(self, service_name: str, **options: Any) -> Any:
        real = self.session.client(service_name, **options)
        return _Service(self, real) if service_name == "codebuild" else real

    def close(self) -> None:
        for machine in self.known.values():
            machine.process.kill()
            machine.process.wait(20)
            machine.output.close()


class _Service:
    def __init__(self, machines: Machines, real: Any) -> None:
        self._machines = machines
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def start_build(self, **asked: Any) -> Any:
        answer = self._real.start_build(**asked)
        build, number = answer["build"], len(self._machines.known)
        task = next(each["value"] for each in asked["environmentVariablesOverride"] if each["name"] == "REFLEXDB_TASK")
        output = (self._machines.directory / f"machine-{number}.log").open("w+b")
        process = subprocess.Popen(
            [*self._machines.program, task],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "AWS_ENDPOINT_URL": self._machines.session.url,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_DEFAULT_REGION": REGION,
            },
        )
        self._machines.known[build["id"]] = Machine(process, output, asked)
        return {**answer, "build": self._with_log(build)}

    def batch_get_builds(self, ids: list[str]) -> Any:
        answer = self._real.batch_get_builds(ids=ids)
        return {**answer, "builds": [self._with_log(self._as_it_is(build)) for build in answer["builds"]]}

    def stop_build(self, id: str) -> Any:  # noqa: A002 - as boto3 has it
        machine = self._machines.known[id]
        machine.stopped = True
        machine.process.kill()
        machine.process.wait(20)
        return self._real.stop_build(id=id)

    def _as_it_is(self, build: dict[str, Any]) -> dict[str, Any]:
        machine = self._machines.known[build["id"]]
        status = machine.process.poll()
        phases = {each["phaseType"]: each for each in build["phases"]}
        if status is None:
            del phases["COMPLETED"]
            del phases["BUILD"]["phaseStatus"]
            return {**build, "buildStatus": "IN_PROGRESS", "currentPhase": "BUILD", "phases": list(phases.values())}
        if status != 0 and not machine.stopped:
            why = {"statusCode": "COMMAND_EXECUTION_ERROR", "message": f"exit status {status}"}
            phases["BUILD"] |= {"phaseStatus": "FAILED", "contexts": [why]}
            return {**build, "buildStatus": "FAILED", "phases": list(phases.values())}
        return {**build, "buildStatus": "STOPPED" if machine.stopped else "SUCCEEDED", "phases": list(phases.values())}

    def _with_log(self, build: dict[str, Any]) -> dict[str, Any]:
        """What the machine has said since goes to where CloudWatch has it."""
        machine, stream = self._machines.known[build["id"]], build["id"].partition(":")[2]
        group = f"/aws/codebuild/{PROJECT}"
        if self._machines.logs:
            logs = self._machines.session.client("logs")
            if not machine.told:
                _made(logs.create_log_group, logGroupName=group)
                _made(logs.create_log_stream, logGroupName=group, logStreamName=stream)
            said = Path(machine.output.name).read_bytes()
            whole = said[: said.rfind(b"\n") + 1]
            lines = whole[machine.told :].decode().splitlines()
            if lines:
                now = int(time.time() * 1000)
                events = [{"timestamp": now, "message": f"{line}\n"} for line in lines]
                logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
                machine.told = len(whole)
        link = f"https://console.aws.amazon.com/cloudwatch/home?region={REGION}#logEvent:group={group};stream={stream}"
        return {**build, "logs": {**build["logs"], "groupName": group, "streamName": stream, "deepLink": link}}


def _made(create: Any, **names: str) -> None:
    try:
        create(**names)
    except Exception as exc:
        if type(exc).__name__ != "ResourceAlreadyExistsException":
            raise


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """A server with a bucket and a project."""
    directory = tmp_path_factory.mktemp("moto")
    with running_moto(directory) as session:
        make_bucket(session, BUCKET)
        make_project(session)
        yield Machines(session, directory=directory)


@pytest.fixture
def machines(service: Machines) -> Iterator[Machines]:
    """None has run yet, and they run what they should."""
    with closing(replace(service, known={})) as machines:
        yield machines
