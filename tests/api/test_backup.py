"""A backup of a control plane that serves, builds and is written to; restored elsewhere, it goes on from there."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import httpx
import pytest
from sqlalchemy import URL

from reflexdb.cli.main import run
from tests.api.plane import Plane, plane_on
from tests.api.test_kill import check_invariants, provisioned
from tests.servers.records import as_text


def test_a_backup_of_a_working_plane_goes_on_elsewhere(
    plane: Plane, source: Path, tmp_path: Path, records: URL | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = plane.start()
    database = provisioned(api, source)
    key = api.post(f"/databases/{database}/api-keys", {"name": "k"}, expect=201)["key"]
    first = api.get(f"/databases/{database}/builds")["activeBuildId"]
    api.post(f"/databases/{database}/rebuild")
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            api.post("/account/management-keys", {"name": "k"}, expect=201)

    thread = threading.Thread(target=write)
    thread.start()
    if records is not None:
        monkeypatch.setenv("REFLEXDB_RECORDS", as_text(records) or "")
    try:
        assert run(["backup", "--data", str(plane.data), str(tmp_path / "b")]) == 0
    finally:
        done.set()
        thread.join()
    api.settled(database)
    api.post(f"/databases/{database}/terminate")
    api.settled(database)
    plane.end()
    shutil.rmtree(plane.data / "images")

    monkeypatch.delenv("REFLEXDB_RECORDS", raising=False)
    place = tmp_path / "place" / "data"
    assert run(["restore", "--data", str(place), str(tmp_path / "b")]) == 0
    with plane_on(place) as again:
        api = again.start()
        assert check_invariants(api, database)["status"] == "running"
        row = api.get(f"/databases/{database}")
        asked = {"content": "users { name }", "headers": {"Authorization": f"Bearer {key}"}, "trust_env": False}
        assert httpx.post(f"{row['endpointUrl']}/query", **asked).json() == [{"name": "Ada"}, {"name": "Zoë"}]
        api.post(f"/databases/{database}/redeploy", {"buildId": first})
        assert check_invariants(api, database)["status"] == "running"
        api.post(f"/databases/{database}/rebuild")
        assert check_invariants(api, database)["status"] == "running"
        assert api("GET", f"/databases/{database}/builds/{first}/log", expect=200).text


def test_a_command_refuses_a_password_as_an_argument(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for address in ("postgresql://u:canary@h/d", "postgresql://h/d?password=canary"):
        for command in (["serve"], ["backup", str(tmp_path / "b")], ["restore", str(tmp_path / "b")]):
            assert run([*command, "--data", str(tmp_path / "x"), "--records", address]) == 2

    assert "canary" not in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
