"""The keys that sign images, as the API has them: made at the first start, rotated, removed; and what that does."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from reflexdb.build.store import DirectoryStore
from reflexdb.control.control import Control
from reflexdb.control.local import open_control
from reflexdb.control.rooms import Settings
from reflexdb.control.signing import SIGNING_SECRET
from reflexdb.model.lifecycle import Status
from reflexdb.records import builds
from tests.api.api import Api, sqlite_connection
from tests.api.operator import let_operate
from tests.api.plane import Plane
from tests.api.situation import Situation


@pytest.fixture
def operator(api: Api, control: Control) -> Iterator[Api]:
    with pytest.MonkeyPatch.context() as patch:
        let_operate(control, api.key, patch)
        yield api


@pytest.fixture
def situation(control: Control, database: str) -> Situation:
    return Situation(control, database)


def test_a_key_is_there_from_the_start_and_its_private_part_nowhere(api: Api, control: Control) -> None:
    [key] = api.get("/signing-keys")

    assert (key["active"], key["algorithm"], key["retiredAt"]) == (True, "ed25519", None)
    load_pem_public_key(key["publicKey"].encode())
    private = json.loads(control.rooms.secrets.get(SIGNING_SECRET))["private"]
    raw = base64.b64decode(private)
    for path in control.rooms.data_dir.rglob("*"):
        if path.is_file():
            assert raw not in path.read_bytes()
            assert private.encode() not in path.read_bytes()
    assert (control.rooms.data_dir / "secrets.bin").stat().st_mode & 0o777 == 0o600


def test_a_build_shows_a_signature_that_the_listed_key_confirms(api: Api, situation: Situation) -> None:
    situation.put(Status.RUNNING)
    build = api.get(f"/databases/{situation.database}/builds/{situation.build}")
    signature, [key] = build["image"]["signature"], api.get("/signing-keys")

    public = load_pem_public_key(key["publicKey"].encode())
    payload = base64.b64decode(signature["payload"])
    public.verify(base64.b64decode(signature["signature"]), payload)  # type: ignore[union-attr, call-arg]
    assert signature["keyId"] == key["keyId"]
    assert json.loads(payload)["critical"]["image"]["docker-manifest-digest"] == build["image"]["digest"]


def test_a_rotated_key_signs_nothing_more_and_stays_trusted_until_it_is_removed(
    operator: Api, situation: Situation
) -> None:
    situation.put(Status.RUNNING)
    path = f"/databases/{situation.database}/builds/{situation.build}"
    [former] = operator.get("/signing-keys")
    made = operator.post("/admin/signing-keys", expect=201)
    listed = operator.get("/signing-keys")

    assert [key["keyId"] for key in listed] == [made["keyId"], former["keyId"]]
    assert [key["active"] for key in listed] == [True, False]
    assert operator.get(path)["deployable"]
    operator("DELETE", f"/admin/signing-keys/{former['keyId']}", expect=204)
    build = operator.get(path)
    assert not build["deployable"]
    assert "no key that is trusted here has signed it" in build["whyNotDeployable"]
    assert build["image"]["signature"] is None
    assert [entry["action"] for entry in operator.get("/audit?limit=2")["entries"]] == [
        "signingKey.remove",
        "signingKey.rotate",
    ]


def test_the_active_key_and_an_unknown_one_are_not_removed(operator: Api) -> None:
    [key] = operator.get("/signing-keys")

    assert operator("DELETE", f"/admin/signing-keys/{key['keyId']}", expect=409).json()["error"] == "conflict"
    operator("DELETE", "/admin/signing-keys/0123", expect=404)
    assert operator.get("/signing-keys") == [key]


def test_only_the_operator_changes_keys(api: Api) -> None:
    api("POST", "/admin/signing-keys", expect=403)
    api("DELETE", "/admin/signing-keys/x", expect=403)


def test_very_many_keys_are_refused(operator: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reflexdb.control.signing.MAX_KEYS", 2)
    operator.post("/admin/signing-keys", expect=201)

    assert "remove some" in operator("POST", "/admin/signing-keys", expect=409).json()["message"]


def test_a_redeploy_of_an_unsigned_image_is_refused_with_the_reason(
    api: Api, control: Control, situation: Situation
) -> None:
    situation.put(Status.RUNNING)
    store = control.rooms.images
    assert isinstance(store, DirectoryStore)
    blobs = control.rooms.data_dir / "images" / "blobs" / "sha256"
    for path in blobs.iterdir():
        if b"simplesigning" in path.read_bytes():
            path.unlink()

    reply = api("POST", f"/databases/{situation.database}/redeploy", {"buildId": situation.build}, expect=409)

    assert "no key that is trusted here has signed it" in reply.json()["message"]
    assert not api.get(f"/databases/{situation.database}/builds/{situation.build}")["deployable"]


def test_images_from_before_there_was_a_key_are_signed_once(
    tmp_path: Path, control: Control, situation: Situation
) -> None:
    situation.put(Status.RUNNING)
    secrets, store = control.rooms.secrets, control.rooms.images
    with control.rooms.store.read() as tx:
        digest = builds.by_id(tx, situation.build).image_digest
    assert digest is not None
    secrets.remove([SIGNING_SECRET])  # as it was with the version before
    control.rooms.signing.start(store.sign)
    assert store.verify(digest)

    for path in (control.rooms.data_dir / "images" / "blobs" / "sha256").iterdir():
        if b"simplesigning" in path.read_bytes():
            path.unlink()
    control.rooms.signing.start(store.sign)
    assert not store.verify(digest), "what has no signature later is not from before"


def test_a_start_that_is_cut_short_goes_on_signing_with_the_next(control: Control, situation: Situation) -> None:
    situation.put(Status.RUNNING)
    control.rooms.secrets.remove([SIGNING_SECRET])

    def killed(digest: str) -> None:
        raise KeyboardInterrupt(digest)

    with pytest.raises(KeyboardInterrupt):
        control.rooms.signing.start(killed)
    signed: list[str] = []
    for _ in range(2):
        control.rooms.signing.start(signed.append)

    assert len(signed) == 1


def test_planes_on_one_directory_have_the_same_keys(control: Control) -> None:
    other = open_control(control.rooms.data_dir, Settings(base_url="http://127.0.0.1:8401"), "127.0.0.1", None)
    assert control.rooms.signing.active().id == other.rooms.signing.active().id

    made = other.rooms.signing.rotate()

    assert control.rooms.signing.active().id == made.id
    other.rooms.store.close()


def test_a_tampered_image_is_refused_and_the_old_one_goes_on_serving(plane: Plane, source: Path) -> None:
    api = plane.start()
    database = api.post("/connections", sqlite_connection(str(source), syncInterval=1), expect=201)["database"]["id"]
    path = f"/databases/{database}"
    first = api.post(f"{path}/provision")["buildId"]
    assert api.settled(database)["status"] == "running"
    before = api.get(f"{path}/instance")["instance"]["id"]
    layer = max((plane.data / "images" / "blobs" / "sha256").iterdir(), key=lambda each: each.stat().st_size)
    with layer.open("r+b") as file:
        file.seek(4000)
        byte = file.read(1)
        file.seek(4000)
        file.write(bytes([byte[0] ^ 1]))

    reply = api("POST", f"{path}/redeploy", {"buildId": first}, expect=409)
    api.post(f"{path}/resize", {"instanceSize": "small"})
    settled = api.settled(database)

    assert "its bytes do not match the digest" in reply.json()["message"]
    assert (settled["status"], "its bytes do not match the digest" in settled["lastError"]) == ("failed", True)
    instance = api.get(f"{path}/instance")["instance"]
    assert (instance["id"], instance["healthStatus"]) == (before, "ok")
