"""The image of a build, given out as a file, put into a registry and had back."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import URL
from starlette.testclient import TestClient

from reflexdb.api.app import create_app
from reflexdb.build.image import Blob
from reflexdb.build.store import DirectoryStore
from reflexdb.control.control import Control
from reflexdb.control.image_places import ImagePlaces, read_image_places
from reflexdb.control.local import open_control
from reflexdb.control.retention import Retention
from reflexdb.control.rooms import Settings, new_id
from reflexdb.model.errors import InvalidRequest
from reflexdb.model.lifecycle import Status
from reflexdb.records import builds
from tests.api.api import UNHURRIED, Api, make_source, sqlite_connection
from tests.api.plane import Plane, plane_on
from tests.api.situation import Situation
from tests.api.test_evidence import another
from tests.build.images import image
from tests.servers.registry import MISSING, PASSWORD, USER, RunningRegistry, password, program, registry

needs_registry = pytest.mark.skipif(program() is None, reason=MISSING)


@pytest.fixture
def situation(control: Control, database: str) -> Situation:
    situation = Situation(control, database)
    situation.put(Status.RUNNING)
    return situation


def test_an_image_is_given_out_as_one_file_that_is_an_oci_layout(api: Api, situation: Situation) -> None:
    path = f"/databases/{situation.database}/builds/{situation.build}"
    reply = api("GET", f"{path}/image", expect=200)
    digest = api.get(path)["image"]["digest"]
    with tarfile.open(fileobj=io.BytesIO(reply.content)) as tar:
        files = {each.name: tar.extractfile(each).read() for each in tar if each.isreg()}  # type: ignore[union-attr]

    assert reply.headers["content-type"] == "application/x-tar"
    assert reply.headers["content-disposition"] == f'attachment; filename="reflexdb-{digest[7:19]}.tar"'
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert (entry["digest"], entry["platform"]) == (digest, {"architecture": "amd64", "os": "linux"})
    (docker,) = json.loads(files["manifest.json"])
    assert {docker["Config"], *docker["Layers"]} < files.keys()
    for name, content in files.items():
        if name.startswith("blobs/"):
            assert Blob("", content).digest == "sha256:" + name.rpartition("/")[2]
    assert reply.content == api("GET", f"{path}/image", expect=200).content


def test_what_is_no_image_or_no_whole_one_is_not_given_out(api: Api, situation: Situation) -> None:
    path, failed = f"/databases/{situation.database}/builds", another(situation, None, "failed")

    for method, what in (("GET", "image"), ("POST", "image/push"), ("POST", "image/pull")):
        assert "has no image" in api(method, f"{path}/{failed}/{what}", expect=409).json()["message"]
        api(method, f"{path}/{new_id()}/{what}", expect=404)
    for blob in (situation.control.rooms.data_dir / "images" / "blobs" / "sha256").iterdir():
        blob.write_bytes(blob.read_bytes() + b"x")
    assert "not given out" in api("GET", f"{path}/{situation.build}/image", expect=409).json()["message"]


def with_another_platform(situation: Situation, build_id: str, binary: bytes) -> str:
    """The digest of an image for arm64 that the build made too."""
    rooms = situation.control.rooms
    assert isinstance(rooms.images, DirectoryStore)
    other = rooms.images.put(image(binary, architecture="arm64"))
    with rooms.store.write() as tx:
        builds.change(tx, build_id, other_images={"linux/arm64": other})
    return other


def test_an_image_for_another_platform_is_given_out(api: Api, situation: Situation) -> None:
    path = f"/databases/{situation.database}/builds/{situation.build}"
    assert "no image for linux/arm64" in api("GET", f"{path}/image?platform=linux/arm64", expect=409).json()["message"]
    other = with_another_platform(situation, situation.build, b"arm")
    detail = api.get(path)

    assert detail["image"]["otherPlatforms"] == {"linux/arm64": other}
    for platform, digest in (("linux/arm64", other), ("linux/amd64", detail["image"]["digest"])):
        reply = api("GET", f"{path}/image?platform={platform}", expect=200)
        assert f"reflexdb-{digest[7:19]}.tar" in reply.headers["content-disposition"]
    assert "platform" in api("GET", f"{path}/image?platform=linux/riscv64", expect=400).json()["message"]


def test_an_image_for_another_platform_goes_with_the_one_it_was_made_with(api: Api, situation: Situation) -> None:
    control, rooms = situation.control, situation.control.rooms
    serves = with_another_platform(situation, situation.build, b"of the one that serves")
    old = with_another_platform(situation, another(situation, "people"), b"of an old one")
    another(situation, "persons")
    keeping_one = replace(rooms, settings=replace(rooms.settings, keep_images=1))
    gone = Retention(keeping_one, control.retention._images).sweep()

    assert old in gone
    assert not rooms.images.verify(old)
    assert rooms.images.verify(serves)


def test_without_a_registry_nothing_is_pushed_or_pulled(api: Api, situation: Situation) -> None:
    for what in ("push", "pull"):
        reply = api("POST", f"/databases/{situation.database}/builds/{situation.build}/image/{what}", expect=503)
        assert "REFLEXDB_REGISTRY names one" in reply.json()["message"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningRegistry]:
    with registry(tmp_path / "registry", password(tmp_path / "auth")) as running:
        yield running


def environment(tmp_path: Path, server: RunningRegistry) -> dict[str, str]:
    (tmp_path / "password").write_text(PASSWORD + "\n", encoding="utf-8")
    return {
        "REFLEXDB_REGISTRY": f"{server.host}/team/reflexdb",
        "REFLEXDB_REGISTRY_USER": USER,
        "REFLEXDB_REGISTRY_PASSWORD_FILE": str(tmp_path / "password"),
    }


@pytest.fixture
def mirrored(tmp_path: Path, server: RunningRegistry, records: URL | None) -> Iterator[Control]:
    directory = tmp_path / "mirrored"
    directory.mkdir()
    images = read_image_places(environment(tmp_path, server))
    control = open_control(directory, Settings(base_url="http://127.0.0.1:8400"), "127.0.0.1", records, images=images)
    yield control
    control.rooms.store.close()


@needs_registry
def test_an_image_goes_to_the_registry_and_a_redeploy_has_it_back(
    mirrored: Control, source: Path, server: RunningRegistry
) -> None:
    first = mirrored.accounts.ensure_first()
    assert first is not None
    with TestClient(create_app(mirrored, UNHURRIED), raise_server_exceptions=False) as client:
        api = Api(client, first.key)
        database = api.post("/connections", sqlite_connection(str(source)), expect=201)["database"]["id"]
        situation = Situation(mirrored, database)
        situation.put(Status.RUNNING)
        path = f"/databases/{database}/builds/{situation.build}"
        digest = api.get(path)["image"]["digest"]
        pushed = api.post(f"{path}/image/push", expect=200)
        assert pushed == {"digest": digest, "address": f"{server.host}/team/reflexdb@{digest}"}
        assert api.get(path)["imageUri"] == pushed["address"]

        mirrored.rooms.images.remove(digest)
        assert api.get(path)["deployable"] is False
        assert api.post(f"{path}/image/pull", expect=200)["digest"] == digest
        assert api.get(path)["deployable"] is True
        mirrored.rooms.images.remove(digest)
        api.post(f"/databases/{database}/redeploy", {"buildId": situation.build}, expect=202)
        assert api.get(path)["deployable"] is True

        told = [each["action"] for each in api.get("/audit")["entries"]]
        assert {"build.push", "build.pull"} <= set(told)
        assert PASSWORD not in json.dumps(api.get("/audit"))
        images = mirrored.rooms.images
        assert isinstance(images, DirectoryStore)
        images.remove(digest)
        layer = max(server.blobs(), key=lambda blob: blob.stat().st_size)
        layer.write_bytes(layer.read_bytes()[:-1] + b"?")
        assert "was refused" in api("POST", f"{path}/image/pull", expect=409).json()["message"]


@needs_registry
def test_a_build_pushes_its_image_and_a_registry_that_is_away_fails_none(
    tmp_path: Path, data: Path, server: RunningRegistry, records: URL | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(tmp_path, server).items():
        monkeypatch.setenv(name, value)
    with plane_on(data, records) as plane:
        database, api = provisioned(plane, tmp_path)
        (build,) = api.get(f"/databases/{database}/builds")["builds"]
        detail = api.get(f"/databases/{database}/builds/{build['id']}")
        assert detail["imageUri"] == f"{server.host}/team/reflexdb@{detail['image']['digest']}"
        assert "push" in [each["name"] for each in detail["phases"]]

        server.process.kill()
        server.process.wait(20)
        api.post(f"/databases/{database}/rebuild")
        assert api.settled(database)["status"] == "running"
        newest = api.get(f"/databases/{database}/builds")["builds"][0]
        assert (newest["status"], newest["deployable"]) == ("succeeded", True)
        log = api("GET", f"/databases/{database}/builds/{newest['id']}/log", expect=200).text
        assert "push: failed, and can be asked for again" in log
        assert "nothing answers there" in log
        shown = log + "".join(each.read_text() for each in (data / "logs").rglob("*.log"))
        assert PASSWORD not in shown


def provisioned(plane: Plane, tmp_path: Path) -> tuple[str, Api]:
    api = plane.start(ephemeral=True)
    source = make_source(tmp_path / "pushed.db")
    database: str = api.post("/connections", sqlite_connection(str(source)), expect=201)["database"]["id"]
    api.post(f"/databases/{database}/provision")
    assert api.settled(database)["status"] == "running"
    return database, api


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"REFLEXDB_REGISTRY": "https://u:p@host.example/x"}, "REFLEXDB_REGISTRY: .* is no repository"),
        ({"REFLEXDB_REGISTRY": "host.example/x", "REFLEXDB_REGISTRY_USER": "u"}, "go together"),
        ({"REFLEXDB_REGISTRY": "host.example/x", "REFLEXDB_REGISTRY_PLAIN_HTTP": "yes"}, "must be 1 or 0"),
        (
            {
                "REFLEXDB_REGISTRY": "host.example/x",
                "REFLEXDB_REGISTRY_USER": "u",
                "REFLEXDB_REGISTRY_PASSWORD_FILE": "/nowhere",
            },
            "can't be read",
        ),
    ],
)
def test_a_registry_that_can_not_be_meant_is_refused_at_the_start(given: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        read_image_places(given)
    assert read_image_places({}) == ImagePlaces()
    with pytest.raises(InvalidRequest, match="REFLEXDB_PLATFORMS: 'arm' is no platform"):
        read_image_places({"REFLEXDB_PLATFORMS": "arm"})
