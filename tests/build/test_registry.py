"""Images in a registry: what was pushed comes back as it was, and nothing else is taken for it."""

from __future__ import annotations

import base64
import json
import logging
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from reflexdb.build.image import Blob
from reflexdb.build.mirrored import MirroredStore
from reflexdb.build.portable import short_tag
from reflexdb.build.registry import Credentials, Place, Registry
from reflexdb.build.signing import signature_tag
from reflexdb.model.errors import (
    BuildFailed,
    ImageDamaged,
    ImageUntrusted,
    InvalidRequest,
    RegistryDenied,
    RegistryRefused,
    RegistryUnreachable,
)
from tests.servers.cut import Cut
from tests.servers.registry import MISSING, PASSWORD, USER, RunningRegistry, password, program, registry

from .images import image
from .test_signing import Keys

pytestmark = pytest.mark.skipif(program() is None, reason=MISSING)
NAME = "team/reflexdb"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningRegistry]:
    with registry(tmp_path / "registry") as running:
        yield running


def remote(server: RunningRegistry, **options: Any) -> Registry:
    return Registry(Place.parse(f"{server.host}/{NAME}"), **options)


def store(directory: Path, elsewhere: Registry, keys: Keys | None = None) -> MirroredStore:
    return MirroredStore(directory, elsewhere, keys)


def silent(_line: str) -> None:
    """Nobody listens."""


def test_what_was_pushed_comes_back_signed_as_it_was(tmp_path: Path, server: RunningRegistry) -> None:
    keys, said = Keys(), list[str]()
    here = store(tmp_path / "here", remote(server), keys)
    digest = here.put(image(b"binary" * 1000))
    assert here.push(digest, said.append) == f"{server.host}/{NAME}@{digest}"
    there = store(tmp_path / "there", remote(server), keys)
    there.pull(digest)

    assert there.unpack(digest, tmp_path / "instance").read_bytes() == b"binary" * 1000
    assert there.signature(digest) == here.signature(digest)
    files = [{path.name for path in (tmp_path / name / "blobs" / "sha256").iterdir()} for name in ("here", "there")]
    assert files[0] == files[1]
    assert "0 blobs known" in said[0]


def test_pushing_again_sends_nothing_again(tmp_path: Path, server: RunningRegistry) -> None:
    said: list[str] = []
    here = store(tmp_path / "here", remote(server), Keys())
    digest = here.put(image())
    for _ in range(2):
        here.push(digest, said.append)

    assert ", 0 bytes sent, 4 blobs known" in said[1]


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo (Debian: apt-get install skopeo)")
def test_skopeo_reads_the_image_and_the_signature_back(tmp_path: Path, server: RunningRegistry) -> None:
    here = store(tmp_path / "here", remote(server), Keys())
    digest = here.put(image())
    here.push(digest, silent)

    for tag, expected in ((short_tag(digest), digest), (signature_tag(digest), None)):
        where = f"docker://{server.host}/{NAME}:{tag}"
        command = ["skopeo", "inspect", "--tls-verify=false", "--raw", where]
        raw = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
        if expected:
            assert Blob("", raw).digest == expected
        else:
            assert json.loads(raw)["subject"]["digest"] == digest
    target = f"oci:{tmp_path / 'copied'}:it"
    source = f"docker://{server.host}/{NAME}@{digest}"
    command = ["skopeo", "copy", "--preserve-digests", "--src-tls-verify=false", source, target]
    subprocess.run(command, check=True, timeout=60)
    assert (tmp_path / "copied" / "blobs" / "sha256" / digest.removeprefix("sha256:")).exists()


def test_a_deployment_fetches_what_is_missing_here(tmp_path: Path, server: RunningRegistry) -> None:
    keys = Keys()
    here = store(tmp_path / "here", remote(server), keys)
    digest = here.put(image(b"binary"))
    here.push(digest, silent)
    plan = here.plan(digest)
    here.remove(digest)
    assert not here.verify(digest)

    assert here.plan(digest) == plan
    assert here.unpack(digest, tmp_path / "instance").read_bytes() == b"binary"


def test_what_nobody_trusted_signed_is_not_taken(tmp_path: Path, server: RunningRegistry) -> None:
    theirs = store(tmp_path / "theirs", remote(server), Keys())
    digest = theirs.put(image())
    theirs.push(digest, silent)
    mine = store(tmp_path / "mine", remote(server), Keys())

    with pytest.raises(ImageUntrusted, match="no key that is trusted here"):
        mine.pull(digest)
    assert not (tmp_path / "mine" / "index.json").exists()


def test_a_changed_byte_in_any_blob_of_the_registry_is_refused(tmp_path: Path, server: RunningRegistry) -> None:
    keys = Keys()
    here = store(tmp_path / "here", remote(server), keys)
    digest = here.put(image(b"binary" * 50))
    here.push(digest, silent)
    blobs = server.blobs()
    assert len(blobs) == 6

    for number, blob in enumerate(blobs):
        content = blob.read_bytes()
        changed = bytearray(content)
        changed[len(changed) // 2] ^= 1
        blob.write_bytes(changed)
        there = store(tmp_path / f"there-{number}", remote(server), keys)
        with pytest.raises((ImageDamaged, RegistryRefused, RegistryUnreachable)):
            there.pull(digest)
        assert not there.verify(digest)
        blob.write_bytes(content)
    store(tmp_path / "whole", remote(server), keys).pull(digest)


def test_an_upload_that_breaks_off_goes_on_where_it_was(tmp_path: Path, server: RunningRegistry) -> None:
    content = os.urandom(3 << 20)
    proxy = Breaking("127.0.0.1", server.port, after=(1 << 20) + 300_000)
    elsewhere = Registry(Place.parse(f"127.0.0.1:{proxy.port}/{NAME}"), chunk_bytes=1 << 19)
    try:
        blob = Blob("application/octet-stream", content)
        assert elsewhere.put_blob(blob)
        assert proxy.broke
        assert elsewhere.blob(blob.digest, len(content)) == content
        assert proxy.passed < 2 * len(content), "not sent twice"
    finally:
        proxy.cut()


class Breaking(Cut):
    """Cuts once, after so many bytes of the client's."""

    def __init__(self, host: str, port: int, after: int) -> None:
        self.passed, self.broke, self._after = 0, False, after
        super().__init__(host, port)

    def _copy(self, one: Any, other: Any, from_server: bool) -> None:
        try:
            while data := one.recv(65536):
                if not from_server:
                    self.passed += len(data)
                    if not self.broke and self.passed > self._after:
                        self.broke = True
                        self.cut()
                        self.mend()
                        return
                other.sendall(data)
        except OSError:
            return


def test_a_password_is_given_where_it_is_asked_for_and_shown_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    with registry(tmp_path / "registry", password(tmp_path / "auth")) as server:
        good = store(tmp_path / "here", remote(server, login=lambda: Credentials(USER, PASSWORD)))
        digest = good.put(image())
        good.push(digest, said.append)
        for login in (lambda: None, lambda: Credentials(USER, "wrong-Pass")):
            with pytest.raises(RegistryDenied) as refused:
                store(tmp_path / "here", remote(server, login=login)).push(digest, said.append)
            said.append(refused.value.message)

    shown = "\n".join([*said, caplog.text, repr(Credentials(USER, PASSWORD))])
    encoded = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert PASSWORD not in shown
    assert "wrong-Pass" not in shown
    assert encoded not in shown


def test_a_token_service_is_asked_and_no_other_origin_is_given_the_password(tmp_path: Path) -> None:
    """The registry here is a small one of our own, which only asks for a token: what counts is who is told what."""
    with Telling() as service, Telling() as other:
        service.challenge = f'Bearer realm="{service.url}/token",service="it",scope="repository:{NAME}:pull"'
        service.redirect = f"{other.url}/elsewhere"
        elsewhere = Registry(Place.parse(f"127.0.0.1:{service.port}/{NAME}"), lambda: Credentials(USER, "pw"))

        assert elsewhere.blob("sha256:" + "0" * 64, 100) == b"content"

    basic = "Basic " + base64.b64encode(f"{USER}:pw".encode()).decode()
    assert [each[1] for each in service.seen if each[0].startswith("/token")] == [basic]
    assert [each[1] for each in service.seen if each[0].startswith("/v2/")] == [None, "Bearer a-token"]
    assert other.seen == [("/elsewhere", None)]


class Telling:
    """An HTTP server that notes the path and the Authorization of whatever it is asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []
        self.challenge = self.redirect = ""
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                authorization = self.headers.get("Authorization")
                told.seen.append((self.path, authorization))
                status, headers, body = 200, {}, b"content"
                if self.path.startswith("/token"):
                    body = json.dumps({"token": "a-token"}).encode()
                elif self.path.startswith("/v2/") and authorization is None:
                    status, headers, body = 401, {"WWW-Authenticate": told.challenge}, b""
                elif self.path.startswith("/v2/"):
                    status, headers, body = 307, {"Location": told.redirect}, b""
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: Any) -> None:
                """Nobody listens."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Telling:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_registry_that_is_away_or_lacks_the_image_says_so(
    tmp_path: Path, server: RunningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reflexdb.build.registry.WAITS_S", (0.0, 0.0, 0.0))
    here = store(tmp_path / "here", remote(server))
    digest = here.put(image())
    with pytest.raises(RegistryRefused, match="is not there; push it, or rebuild"):
        store(tmp_path / "there", remote(server)).pull(digest)
    server.process.kill()
    server.process.wait(20)
    with pytest.raises(RegistryUnreachable, match="nothing answers there"):
        here.push(digest, silent)


def test_a_disk_without_room_is_told_and_nothing_half_is_left(
    tmp_path: Path, server: RunningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = store(tmp_path / "here", remote(server))
    digest = here.put(image())
    here.push(digest, silent)
    there = store(tmp_path / "there", remote(server))

    def full(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("reflexdb.build.store.write_atomically", full)
        with pytest.raises(BuildFailed, match="is full; free some space"):
            there.pull(digest)
    assert not there.verify(digest)
    there.pull(digest)
    assert there.verify(digest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "registry",
        "https://registry.example.com/x",
        "user:pw@registry.example.com/x",
        "host/X",
        "host/../x",
        "h/x:t",
    ],
)
def test_what_names_no_repository_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is no repository"):
        Place.parse(text)


def test_only_a_registry_of_this_machine_is_spoken_to_without_tls_unless_told() -> None:
    assert Place.parse("127.0.0.1:5000/x").plain
    assert Place.parse("localhost/x").plain
    assert not Place.parse("127.0.0.1.example.com/x").plain
    assert Place.parse("registry.example.com/x").base.startswith("https://")
    assert Place.parse("registry.example.com/x", plain=True).base.startswith("http://")


def test_the_registry_serves_the_image_to_anybody_who_speaks_the_specification(
    tmp_path: Path, server: RunningRegistry
) -> None:
    here = store(tmp_path / "here", remote(server))
    digest = here.put(image())
    here.push(digest, silent)

    reply = httpx.get(f"http://{server.host}/v2/{NAME}/tags/list", trust_env=False)
    assert reply.json()["tags"] == [short_tag(digest)]
