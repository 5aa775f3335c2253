"""Connections over HTTP: what is created can be read, changed and deleted, and a password never comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from reflexdb.control.control import Control
from tests.api.api import Api, sqlite_connection

MYSQL = {
    "name": "shop",
    "mysqlHost": "db.example",
    "availableSchemas": ["shop", "log"],
    "mysqlUser": "reader",
    "mysqlPassword": "correct horse battery",
}


def test_a_connection_comes_back_as_it_was_created(api: Api) -> None:
    created = api.post("/connections", MYSQL, expect=201)
    connection = created["connection"]

    assert created["database"] is None
    assert {name: connection[name] for name in MYSQL if name != "mysqlPassword"} == {
        name: value for name, value in MYSQL.items() if name != "mysqlPassword"
    }
    assert (connection["backend"], connection["mysqlPort"], connection["allowedSyncModes"]) == (
        "mysql",
        3306,
        ["poll", "binlog"],
    )
    assert api.get("/connections") == [connection]
    assert api.get(f"/connections/{connection['id']}") == {**connection, "databases": []}


def test_postgres_has_its_own_default_port(api: Api) -> None:
    created = api.post("/connections", {**MYSQL, "backend": "postgres"}, expect=201)

    assert created["connection"]["mysqlPort"] == 5432


def test_no_file_and_no_answer_shows_the_password(api: Api, control: Control) -> None:
    created = api("POST", "/connections", MYSQL, expect=201)
    control.rooms.store.close()  # the write-ahead log joins the file

    assert "horse" not in created.text
    for file in control.rooms.data_dir.rglob("*"):
        assert file.is_dir() or b"correct horse" not in file.read_bytes()


def test_a_connection_and_its_first_database_are_created_together_or_not_at_all(api: Api) -> None:
    wrong = {**MYSQL, "instance": {"name": "d", "mysqlDb": "elsewhere"}}

    refused = api("POST", "/connections", wrong, expect=400)
    assert "elsewhere" in refused.json()["message"]
    assert api.get("/connections") == []

    created = api.post("/connections", {**MYSQL, "instance": {"name": "d", "mysqlDb": "log"}}, expect=201)
    assert created["database"]["status"] == "registered"
    assert api.get("/databases") == [created["database"]]
    assert api.get(f"/connections/{created['connection']['id']}")["databases"] == [created["database"]]


def test_a_name_is_used_once(api: Api) -> None:
    api.post("/connections", MYSQL, expect=201)

    api("POST", "/connections", MYSQL, expect=409)


def test_a_login_is_needed_except_for_sqlite(api: Api, source: Path) -> None:
    nameless = {name: value for name, value in MYSQL.items() if name not in ("mysqlUser", "mysqlPassword")}

    message = api("POST", "/connections", nameless, expect=400).json()["message"]
    assert "mysqlUser" in message
    assert "mysqlPassword" in message
    assert api.post("/connections", sqlite_connection(str(source)), expect=201)["connection"]["mysqlUser"] == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("backend", "mssql"),
        ("backend", "oracle"),
        ("syncMode", "logical"),
        ("syncMode", "cdc"),
        ("syncInterval", 4),
        ("syncInterval", 3601),
    ],
)
def test_what_this_server_does_not_offer_is_refused(api: Api, field: str, value: object) -> None:
    refused = api("POST", "/connections", {**MYSQL, field: value}, expect=400)

    assert field in refused.json()["message"]


def test_a_change_touches_only_what_was_sent(api: Api, control: Control) -> None:
    before = api.post("/connections", MYSQL, expect=201)["connection"]
    before_secrets = control.rooms.secrets.names()
    after = api("PATCH", f"/connections/{before['id']}", {"mysqlUser": "other", "name": "shop 2"}, expect=200).json()

    assert after == {**before, "mysqlUser": "other", "name": "shop 2", "updatedAt": after["updatedAt"]}
    assert control.rooms.secrets.names() == before_secrets


@pytest.mark.parametrize(
    ("moved", "named"), [({"mysqlHost": "mine.example"}, "mysqlHost"), ({"mysqlPort": 3307}, "mysqlPort")]
)
def test_a_stored_password_goes_to_no_other_server(api: Api, moved: dict[str, object], named: str) -> None:
    before = api.post("/connections", MYSQL, expect=201)["connection"]
    path = f"/connections/{before['id']}"

    for password in ({}, {"mysqlPassword": ""}):
        refused = api("PATCH", path, {**moved, **password}, expect=400).json()
        assert named in refused["message"] or "mysqlPassword" in refused["message"]
    assert {name: api.get(path)[name] for name in moved} == {name: before[name] for name in moved}
    unmoved = {name: before[name] for name in moved}
    api("PATCH", path, unmoved, expect=200)
    assert api("PATCH", path, {**moved, "mysqlPassword": "again"}, expect=200).json()[named] == moved[named]


def test_a_new_password_replaces_the_old_one(api: Api, control: Control) -> None:
    connection_id = api.post("/connections", MYSQL, expect=201)["connection"]["id"]
    api("PATCH", f"/connections/{connection_id}", {"mysqlPassword": "another"}, expect=200)

    values = {control.rooms.secrets.get(name) for name in control.rooms.secrets.names()}
    assert values == {b"another"}


def test_a_refused_change_keeps_the_old_password(api: Api, control: Control) -> None:
    api.post("/connections", {**MYSQL, "name": "taken"}, expect=201)
    connection_id = api.post("/connections", MYSQL, expect=201)["connection"]["id"]
    api("PATCH", f"/connections/{connection_id}", {"mysqlPassword": "another", "name": "taken"}, expect=409)
    account = control.accounts.authenticate(api.key)

    address = control.connections.address(control.connections.get(account, connection_id))
    assert address.password == MYSQL["mysqlPassword"]


def test_a_used_schema_can_not_be_removed(api: Api) -> None:
    created = api.post("/connections", {**MYSQL, "instance": {"name": "d", "mysqlDb": "log"}}, expect=201)
    path = f"/connections/{created['connection']['id']}"

    assert "log" in api("PATCH", path, {"availableSchemas": ["shop"]}, expect=409).json()["message"]
    api("PATCH", path, {"availableSchemas": ["log"]}, expect=200)


def test_a_connection_in_use_can_not_be_deleted(api: Api, control: Control) -> None:
    created = api.post("/connections", {**MYSQL, "instance": {"name": "d", "mysqlDb": "log"}}, expect=201)
    path = f"/connections/{created['connection']['id']}"

    api("DELETE", path, expect=409)
    api("DELETE", f"/databases/{created['database']['id']}", expect=204)
    api("DELETE", path, expect=204)
    api("GET", path, expect=404)
    api("DELETE", path, expect=404)
    assert control.rooms.secrets.names() == set()


def test_a_test_tells_what_the_source_has(api: Api, database: str, source: Path) -> None:
    raw = api("POST", "/connections/test-connection", {"backend": "sqlite", "mysqlHost": str(source)}, expect=200)
    connection_id = api.get("/connections")[0]["id"]
    stored = api("POST", f"/connections/{connection_id}/test-connection", expect=200)

    for result in (raw.json(), stored.json()):
        assert result["ok"] is True
        assert result["availableSchemas"] == ["main"]
        assert result["latencyMs"] >= 0
        assert result["estimatedSizeGb"] > 0


def test_a_failed_test_is_an_answer_not_an_error(api: Api, tmp_path: Path) -> None:
    body = {"backend": "sqlite", "mysqlHost": str(tmp_path / "nothing.db")}
    result = api("POST", "/connections/test-connection", body, expect=200).json()

    assert result["ok"] is False
    assert "nothing.db" in result["error"]
    assert set(result) == {"ok", "error"}


def test_an_unreachable_server_fails_the_test_without_its_password(api: Api) -> None:
    body = {"mysqlHost": "127.0.0.1", "mysqlPort": 1, "mysqlUser": "u", "mysqlPassword": "correct horse"}
    result = api("POST", "/connections/test-connection", body, expect=200)

    assert result.json()["ok"] is False
    assert "horse" not in result.text
