"""The image in the hands of other tools: each reads, unpacks or runs it as it would any other.

What is not installed, or not allowed by this machine's kernel, is skipped by name.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from reflexdb.build.base import BuildRequest, BuildResult
from reflexdb.build.image import SERVER_PATH, USER, extract
from reflexdb.build.local import LocalBuilder
from reflexdb.build.portable import archive, short_tag

from .schemas import blog

LIMIT_S = 120


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"needs {program} (Debian: apt-get install {program})"
    )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def built(data_dir: Path) -> BuildResult:
    return LocalBuilder(data_dir).build(BuildRequest(blog(), None), print)


@pytest.fixture(scope="module")
def file(built: BuildResult, data_dir: Path) -> Path:
    """The exported image, as `reflexdb build export` writes it."""
    path = data_dir / "image.tar"
    path.write_bytes(archive(LocalBuilder(data_dir).store.parts(built.image.digest)))
    return path


def said(command: list[str], **options: object) -> str:
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False, **options)  # type: ignore[call-overload]
    assert outcome.returncode == 0, f"{command}: {outcome.stderr}"
    text: str = outcome.stdout
    return text


def check_schema(text: str, built: BuildResult) -> None:
    assert json.loads(text)["fingerprint"] == built.plan.fingerprint().hex()


@needs("skopeo")
def test_skopeo_reads_the_file_both_ways(file: Path, built: BuildResult) -> None:
    oci = json.loads(said(["skopeo", "inspect", f"oci-archive:{file}"]))
    docker = json.loads(said(["skopeo", "inspect", "--config", f"docker-archive:{file}"]))

    assert oci["Digest"] == built.image.digest
    assert (oci["Os"], len(oci["Layers"])) == ("linux", 1)
    assert docker["config"]["User"] == f"{USER}:{USER}"
    assert docker["config"]["Entrypoint"][0] == f"/{SERVER_PATH}"


@needs("skopeo")
def test_skopeo_copies_the_file_into_a_layout_with_the_same_digest(
    file: Path, built: BuildResult, tmp_path: Path
) -> None:
    said(["skopeo", "copy", "--preserve-digests", f"oci-archive:{file}", f"oci:{tmp_path / 'layout'}:it"])

    (entry,) = json.loads((tmp_path / "layout" / "index.json").read_bytes())["manifests"]
    assert entry["digest"] == built.image.digest


def test_the_program_in_the_layer_runs_as_a_user_without_rights(
    data_dir: Path, built: BuildResult, tmp_path: Path
) -> None:
    parts = LocalBuilder(data_dir).store.parts(built.image.digest)
    program = Path("/tmp") / f"reflexdb-{tmp_path.name}-{os.getpid()}"  # every user gets there
    try:
        program.write_bytes(extract(parts.layer.content, SERVER_PATH))
        program.chmod(0o755)
        identity = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
        check_schema(said([str(program), "--schema"], cwd="/", env={}, **identity), built)
    finally:
        program.unlink(missing_ok=True)


@needs("umoci")
@needs("skopeo")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be confined to the unpacked image")
def test_the_unpacked_image_is_all_that_the_program_needs(file: Path, built: BuildResult, tmp_path: Path) -> None:
    said(["skopeo", "copy", f"oci-archive:{file}", f"oci:{tmp_path / 'layout'}:it"])
    said(["umoci", "unpack", "--image", f"{tmp_path / 'layout'}:it", str(tmp_path / "bundle")])
    root = tmp_path / "bundle" / "rootfs"

    assert json.loads((tmp_path / "bundle" / "config.json").read_bytes())["process"]["user"]["uid"] == USER
    assert sorted(each.name for each in root.iterdir()) == ["data", SERVER_PATH, "reflexdb"]
    assert (root / "data").stat().st_uid == USER
    check_schema(said(["chroot", f"--userspec={USER}:{USER}", str(root), f"/{SERVER_PATH}", "--schema"]), built)


@needs("podman")
@needs("runc")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to have podman's storage in a directory of the test's")
def test_podman_loads_and_runs_it(file: Path, built: BuildResult) -> None:
    home = Path(tempfile.mkdtemp(prefix="podman-"))  # podman takes no path of more than 50 characters
    podman = ["podman", "--root", str(home / "root"), "--runroot", str(home / "run"), "--storage-driver", "vfs"]
    podman += ["--cgroup-manager", "cgroupfs", "--runtime", "runc"]
    name = f"reflexdb:{short_tag(built.image.digest)}"
    try:
        assert name in said([*podman, "load", "-i", str(file)])
        run = ["run", "--rm", "--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
        command = [*podman, *run, name, "--schema"]
        outcome = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        if outcome.returncode in {125, 126}:  # podman's own words for: the container was not started
            pytest.skip(f"needs a kernel that lets podman start containers: {outcome.stderr.strip()[-200:]}")
        assert outcome.returncode == 0, outcome.stderr
        check_schema(outcome.stdout, built)
    finally:
        subprocess.run([*podman, "rmi", "--all", "--force"], capture_output=True, timeout=LIMIT_S, check=False)
        shutil.rmtree(home, ignore_errors=True)
