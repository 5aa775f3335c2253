"""The builder at CodeBuild: moto keeps the books, processes of ours are its machines, and the images are real."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from reflexdb.build.aws import S3Images
from reflexdb.build.base import BuildRequest, Service, Stoppable, Trial
from reflexdb.build.codebuild import CodeBuild, Pace, Project, _held_against
from reflexdb.build.errand import Errand, Task
from reflexdb.build.image import LAYER_TYPE, Blob
from reflexdb.build.local import LocalBuilder
from reflexdb.model.errors import BuildCancelled, BuildFailed, InvalidRequest
from tests.servers.aws import BUCKET, PROJECT, Machines, machines, needs_moto, service
from tests.servers.spawn import free_port

from .images import image, small_plan
from .schemas import blog, schema, table
from .test_signing import Keys

__all__ = ["machines", "service"]

pytestmark = needs_moto
QUICK = Pace(ask_s=0.1, patience_s=5)
ACTING = """
import sys
from reflexdb.build import __main__ as machine
from tests.build.images import image
from reflexdb.build.aws import boto
from reflexdb.build.errand import Errand
"""


def builder(machines: Machines, tmp_path: Path, project: str = PROJECT) -> CodeBuild:
    return CodeBuild(tmp_path / "data", Project(project, f"s3://{BUCKET}/one", machines, QUICK), Keys())


def acts(machines: Machines, code: str) -> None:
    """A machine that does something else than it should."""
    machines.program = [sys.executable, "-c", ACTING + code]


def left(machines: Machines) -> list[str]:
    return [each["Key"] for each in machines.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", ())]


def test_an_image_is_made_elsewhere_tried_and_signed_here(machines: Machines, tmp_path: Path) -> None:
    said, heard, tried, known = list[str](), list[tuple[str, bool]](), list[Trial](), list[Service]()
    request = BuildRequest(blog(), "version: 1", tried.append, None, known.append)
    made = builder(machines, tmp_path)
    built = made.build(request, said.append, lambda name, _seconds, failed: heard.append((name, failed)))
    here = LocalBuilder(tmp_path / "here").build(replace(request, begun=lambda _: None), print)

    assert built.image.digest == here.image.digest, "the same inputs and compiler make the same image anywhere"
    assert made.store.verify(built.image.digest)
    assert [trial.plan for trial in tried[:1]] == [built.plan]
    assert known[0].id.startswith(f"{PROJECT}:")
    assert (known[0].logs_url or "").startswith("https://console.aws.amazon.com/")
    assert ("codebuild provisioning", False) in heard
    assert heard[-1] == ("verify", False)
    assert any(line.startswith("codebuild: compile: ") for line in said), said
    assert sum(line.startswith("codebuild: made sha256:") for line in said) == 1
    [machine] = machines.known.values()
    assert machine.asked["computeTypeOverride"] == "BUILD_GENERAL1_LARGE"
    assert left(machines) == []

    again = made.build(request, said.append)
    assert again.image.reused
    assert again.image.digest == built.image.digest
    assert len(machines.known) == 1


def test_a_build_that_fails_there_fails_here_with_the_same_words(machines: Machines, tmp_path: Path) -> None:
    acts(
        machines,
        "from reflexdb.model.errors import BuildFailed\n"
        "def fail(*_, **__): raise BuildFailed('compile', 'The C++ compiler said no.')\n"
        "machine.LocalBuilder.remake = fail\n"
        "sys.exit(machine.main(sys.argv[1:]))",
    )
    with pytest.raises(BuildFailed, match=r"The C\+\+ compiler said no\.") as told:
        builder(machines, tmp_path).build(BuildRequest(blog(), None), print)
    assert told.value.step == "compile"
    assert left(machines) == []


def test_a_machine_that_says_nothing_is_told_of_with_what_codebuild_says(machines: Machines, tmp_path: Path) -> None:
    acts(machines, "print('python3: No module named reflexdb'); sys.exit(1)")
    heard, said = list[tuple[str, bool]](), list[str]()
    with pytest.raises(BuildFailed, match=r"as FAILED without an image \(build: exit status 1\): the project's image"):
        builder(machines, tmp_path).build(
            BuildRequest(blog(), None), said.append, lambda name, _seconds, failed: heard.append((name, failed))
        )
    assert ("codebuild build", True) in heard
    assert "codebuild: python3: No module named reflexdb" in said


def test_a_machine_of_another_version_is_refused_with_both(machines: Machines, tmp_path: Path) -> None:
    acts(
        machines,
        "import reflexdb\nreflexdb.__version__ = '9.9.9'\nsys.exit(machine.main(sys.argv[1:]))",
    )
    with pytest.raises(BuildFailed, match=r"The control plane has reflexdb .*, the build's machine 9\.9\.9"):
        builder(machines, tmp_path).build(BuildRequest(blog(), None), print)


def test_an_image_of_something_else_is_neither_tried_nor_signed(machines: Machines, tmp_path: Path) -> None:
    acts(machines, "Errand(sys.argv[1], boto()).put_image(image())")
    tried = list[Trial]()
    made = builder(machines, tmp_path)
    with pytest.raises(BuildFailed, match=r"is not what was asked for \(plan"):
        made.build(BuildRequest(blog(), "version: 1", tried.append), print)
    assert not tried
    assert not list((tmp_path / "data").glob("images/**/*sha256*/*"))


def test_what_is_no_image_of_a_server_is_said_to_be_none() -> None:
    plan, whole = small_plan(), image()
    for layer in (b"", b"no tar at all" * 100):
        with pytest.raises(BuildFailed, match="What came back is no image of a server; look at the project's"):
            _held_against(replace(whole, layer=Blob(LAYER_TYPE, layer)), plan, BuildRequest(blog(), None))


def test_whoever_calls_it_off_ends_it_there_too(machines: Machines, tmp_path: Path) -> None:
    acts(machines, "import time\ntime.sleep(600)")
    said = list[str]()

    def check() -> None:
        if machines.known and next(iter(machines.known.values())).told == 0 and "started" in "".join(said):
            raise BuildCancelled("it was called off")

    with pytest.raises(BuildCancelled):
        builder(machines, tmp_path).build(BuildRequest(blog(), None), said.append, check=check)
    [machine] = machines.known.values()
    assert machine.stopped
    assert any(line.startswith("codebuild: stopped ") for line in said)
    assert left(machines) == []


def test_one_that_nobody_waits_for_can_be_stopped(machines: Machines, tmp_path: Path) -> None:
    acts(machines, "import time\ntime.sleep(600)")
    made = builder(machines, tmp_path)
    assert isinstance(made, Stoppable)
    started = machines.client("codebuild").start_build(
        projectName=PROJECT,
        environmentVariablesOverride=[{"name": "REFLEXDB_TASK", "value": "s3://x/y", "type": "PLAINTEXT"}],
    )["build"]
    made.stop(started["id"])
    assert machines.known[started["id"]].stopped


def test_a_service_that_is_away_is_waited_for_and_then_given_up(machines: Machines, tmp_path: Path) -> None:
    acts(machines, "import time\ntime.sleep(600)")
    said, began = list[str](), time.monotonic()
    url, nowhere = machines.session.url, f"http://127.0.0.1:{free_port()}"

    def gone(_service: Service) -> None:
        machines.session.url = nowhere

    try:
        with pytest.raises(BuildFailed, match="can't be reached"):
            builder(machines, tmp_path).build(BuildRequest(blog(), None, begun=gone), said.append)
    finally:
        machines.session.url = url
    assert time.monotonic() - began < 300


def test_lines_that_can_not_be_read_fail_no_build(machines: Machines, tmp_path: Path) -> None:
    machines.logs = False
    said = list[str]()
    builder(machines, tmp_path).build(BuildRequest(schema(table("users", "id")), None), said.append)
    assert any(line.startswith("done: image ") for line in said)


def test_a_project_that_is_not_there_is_named(machines: Machines, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="There is no CodeBuild project 'nowhere' in this account and region"):
        builder(machines, tmp_path, "nowhere").build(BuildRequest(blog(), None), print)


def test_what_is_no_name_of_a_project_is_refused(machines: Machines) -> None:
    for name in ("", "-x", "a/b", "a:b", "x" * 151):
        with pytest.raises(InvalidRequest, match="is no name of a CodeBuild project"):
            Project(name, f"s3://{BUCKET}", machines)


def test_a_task_comes_back_as_it_was_put(machines: Machines) -> None:
    task = Task(small_plan("quoted \" 'names' \u2028"), 'version: 1 # "\n')
    errand = Errand(f"s3://{BUCKET}/two", machines)
    errand.put_task(task)
    assert errand.task() == task
    assert errand.image() is None
    parts = image()
    errand.put_image(parts)
    assert errand.image() == parts
    for content in (b"", b"[]", b'{"step": 1}', b"{" * 10_000):
        machines.client("s3").put_object(Bucket=BUCKET, Key="two/outcome.json", Body=content)
        with pytest.raises(BuildFailed):
            errand.image()
    S3Images(f"s3://{BUCKET}/other", machines).put_blob(parts.layer)
    errand.clear()
    assert [key.partition("/")[0] for key in left(machines)] == ["other"]
    S3Images(f"s3://{BUCKET}/other", machines)
    Errand(f"s3://{BUCKET}/other", machines).clear()


def test_nothing_of_a_source_is_in_a_task(machines: Machines) -> None:
    """A plan has names and types; no address, no user, no row."""
    errand = Errand(f"s3://{BUCKET}/three", machines)
    errand.put_task(Task(small_plan(), None))
    content = machines.client("s3").get_object(Bucket=BUCKET, Key="three/task.json")["Body"].read()
    errand.clear()
    assert b"password" not in content
    assert os.fsencode(str(Path.cwd())) not in content
