"""Starting and ending a control plane: one per directory, one sentence where it can't, nothing left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from reflexdb.api.issuer_settings import issuer_settings
from reflexdb.cli.main import run
from reflexdb.client.admin import OperatorClient
from reflexdb.model.errors import InvalidRequest
from reflexdb.model.issuer import IssuerSettings
from tests.api.api import Api, until
from tests.api.plane import Plane, processes_in, spawn
from tests.servers.issuer import AUDIENCE, little_issuer
from tests.servers.records import as_text


def refused(data: Path, port: int = 0) -> str:
    """The one line with which a start is refused."""
    out, err = (process := spawn(data, port)).communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    [line] = err.strip().splitlines()
    return line


def test_the_first_start_prints_a_key_once_and_keeps_it_private(plane: Plane) -> None:
    api = plane.start()
    assert len(api.get("/account/management-keys")) == 1
    process = plane.process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=60)

    assert printed.count(api.key) == 1
    assert stat.S_IMODE((plane.data / "admin.key").stat().st_mode) == 0o600
    again = plane.start()
    assert again.key == api.key
    assert len(again.get("/account/management-keys")) == 1


def test_nothing_is_open_to_other_users(plane: Plane) -> None:
    plane.data.mkdir(exist_ok=True)
    plane.data.chmod(0o755)
    former = os.umask(0)
    try:
        plane.start()
    finally:
        os.umask(former)
    assert stat.S_IMODE(plane.data.stat().st_mode) == 0o700
    found = {path: path.lstat().st_mode for path in plane.data.rglob("*") if path != plane.data / "cache"}  # a test's
    assert found
    assert not [path for path, mode in found.items() if not stat.S_ISLNK(mode) and mode & 0o077]


def test_a_lost_operator_key_is_made_anew_on_the_directory(
    plane: Plane, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFLEXDB_RECORDS", as_text(plane.records) or "")
    assert run(["admin", "reset-key", "--data", str(tmp_path / "nowhere")]) != 0
    assert "serve" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
    first = plane.start()
    former = (plane.data / "operator.key").read_text()
    assert run(["admin", "reset-key", "--data", str(plane.data)]) != 0
    assert "another control plane runs" in capsys.readouterr().err
    plane.end()
    (plane.data / "operator.key").unlink()

    monkeypatch.setenv("REFLEXDB_RECORDS", as_text(plane.records) or "")  # it was taken out of the environment
    assert run(["admin", "reset-key", "--data", str(plane.data)]) == 0
    assert capsys.readouterr().out.strip() == str(plane.data / "operator.key")
    again = plane.start()
    assert stat.S_IMODE((plane.data / "operator.key").stat().st_mode) == 0o600
    assert again("GET", "/databases", headers={"Authorization": f"Bearer {former.strip()}"}).status_code == 401
    operator = Api(again.client, (plane.data / "operator.key").read_text().strip())
    assert len(operator.get("/admin/customers")["customers"]) == 1
    assert again.key == first.key


def test_tokens_of_the_issuer_in_the_environment_are_let_in_and_kept_nowhere(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    with little_issuer() as issuer:
        monkeypatch.setenv("REFLEXDB_OIDC_ISSUER", issuer.url)
        monkeypatch.setenv("REFLEXDB_OIDC_AUDIENCE", AUDIENCE)
        monkeypatch.setenv("REFLEXDB_OIDC_FIRST_LOGIN", "create")
        first = plane.start()
        until(lambda: "/keys" in issuer.asked, "the keys to be fetched before any token came", 30)
        texts = [issuer.token(groups=["reflexdb-admins"]), issuer.token(sub="bob"), issuer.token(sub="bob", exp=1)]
        bob, late = (Api(first.client, text) for text in texts[1:])

        assert bob.post("/account/management-keys", {"name": "ci"}, expect=201)["name"] == "ci"
        assert late("GET", "/databases").status_code == 401
        with OperatorClient(str(first.client.base_url), texts[0]) as client:
            default, made = client.list_customers()
            assert (default["name"], made["name"]) == ("default", "bob")
            [login] = client.list_logins(made["id"])
            client.delete_login(made["id"], login["id"])
            assert client.create_login(default["id"], "bob", "Bob")["customerId"] == default["id"]
        assert "ci" not in {each["name"] for each in bob.get("/account/management-keys")}
    plane.end()
    pieces = {piece.encode() for text in texts for piece in text.split(".")[1:]}
    for file in plane.data.rglob("*"):
        assert file.is_dir() or not [piece for piece in pieces if piece in file.read_bytes()]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ISSUER": "https://i.example"}, "--oidc-audience or --oidc-client-id"),
        ({"AUDIENCE": "x"}, "without an issuer"),
        ({"ISSUER": "http://i.example", "AUDIENCE": "x"}, "must be an https:// address"),
        ({"ISSUER": "https://i.example", "AUDIENCE": "x", "JWKS_URL": "file:///etc/passwd"}, "REFLEXDB_OIDC_JWKS_URL"),
        ({"ISSUER": "https://i.example", "AUDIENCE": "x", "FIRST_LOGIN": "yes"}, "refuse or create"),
        ({"ISSUER": "https://i.example", "AUDIENCE": "x", "CLOCK_SKEW_S": "-1"}, "REFLEXDB_OIDC_CLOCK_SKEW_S"),
        ({"ISSUER": "https://i.example", "AUDIENCE": "x", "REFETCH_S": "0"}, "1 to 3600"),
    ],
)
def test_settings_of_an_issuer_that_can_not_work_are_refused_by_name(given: dict[str, str], words: str) -> None:
    environment = {f"REFLEXDB_OIDC_{name}": value for name, value in given.items()}

    with pytest.raises(InvalidRequest) as caught:
        issuer_settings({}, environment)
    assert words in caught.value.message


def test_an_option_wins_over_its_variable_and_what_is_not_said_has_a_default() -> None:
    environment = {
        "REFLEXDB_OIDC_ISSUER": "https://i.example", "REFLEXDB_OIDC_AUDIENCE": "a b", "REFLEXDB_OIDC_CLOCK_SKEW_S": "5",
    }  # fmt: skip
    found = issuer_settings({"issuer": "https://j.example/", "client_id": "c", "clock_skew": None}, environment)

    assert found == IssuerSettings("https://j.example/", audiences=("a", "b"), client_ids=("c",), leeway_s=5)
    assert issuer_settings({}, {}) is None


def test_it_tells_where_it_is_and_takes_it_back_when_it_ends(plane: Plane) -> None:
    plane.start()
    told = json.loads((plane.data / "control.json").read_text())
    assert plane.process is not None
    assert told["pid"] == plane.process.pid
    assert httpx.get(f"{told['url']}/healthz", trust_env=False).json()["status"] == "ok"

    assert plane.end() == 0
    assert not (plane.data / "control.json").exists()
    assert processes_in(plane.data) == []


def test_a_second_one_on_the_same_directory_is_refused(plane: Plane, records_kind: str) -> None:
    api = plane.start()

    if records_kind == "postgresql":  # there several may share it, but not with one that keeps its records in SQLite
        assert "another control plane" in refused(plane.data)
        return
    assert "another control plane" in refused(plane.data)
    assert api.get("/databases") == []


def test_a_killed_one_leaves_no_lock(plane: Plane) -> None:
    plane.start()
    plane.kill()

    assert plane.start().get("/databases") == []


def test_a_port_in_use_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        line = refused(tmp_path / "data", other.getsockname()[1])

    assert "Address already in use" in line
    assert not (tmp_path / "data" / "admin.key").exists()


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")

    assert "a file is in the way" in refused(tmp_path / "data")
    assert "a file is in the way" in refused(tmp_path / "data" / "below")
    assert (tmp_path / "data").read_text() == "mine"


@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
def test_a_read_only_data_directory_is_refused(tmp_path: Path, used: bool) -> None:
    data = tmp_path / "data"
    (data / "logs" / "builds" if used else data).mkdir(parents=True)
    place = data if used else data / "new"
    freeze = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 77; shift; exec "$@"'
    command = [sys.executable, "-m", "reflexdb", "serve", "--data", str(place), "--port", "0"]
    apart = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], check=False).returncode:
        pytest.skip("needs unshare and the right to mount")
    done = subprocess.run(
        [*apart, "sh", "-c", freeze, "sh", str(data), *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    if done.returncode == 77:
        pytest.skip("needs unshare and the right to mount")

    assert (done.returncode, done.stdout) == (2, "")
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith(f"reflexdb serve: {place} can't be the data directory")
    assert "writable" in said or "Read-only" in said


def test_damaged_secrets_stop_the_start_with_a_sentence(plane: Plane) -> None:
    plane.start()
    plane.end()
    (plane.data / "secrets.bin").write_text("?")

    assert "secrets.bin is damaged" in refused(plane.data)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_its_log_is_json_lines_without_the_key(plane: Plane, how: signal.Signals) -> None:
    api = plane.start()
    plane.end(how)
    lines = [json.loads(line) for line in (plane.data / "logs" / "control.log").read_text().splitlines()]

    actions = [line["action"] for line in lines]
    assert actions[-1] == "stopped"
    assert actions.count("serving") == 1
    assert api.key not in (plane.data / "logs" / "control.log").read_text()
