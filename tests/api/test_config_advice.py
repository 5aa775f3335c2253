"""A reflexdb.yaml held against its source, and one proposed from the source's names."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.api.api import Api

NOWHERE = "00000000-0000-4000-8000-000000000000"
YAML = {"Content-Type": "application/yaml"}


def check(api: Api, database: str, text: str | bytes, expect: int = 200) -> str:
    path = f"/databases/{database}/config/check"
    return api("POST", path, content=text, headers=YAML, expect=expect).text


def test_a_file_that_fits_its_source_is_checked(api: Api, database: str) -> None:
    assert check(api, database, "version: 1\ntables: [{name: users}]\n") == '{"checked":true,"reason":null}'
    api("GET", f"/databases/{database}/config", expect=404)


def test_a_file_that_names_what_is_not_there_is_refused(api: Api, database: str) -> None:
    assert "Did you mean" in check(api, database, "version: 1\ntables: [{name: user}]\n", expect=400)
    assert "UTF-8" in check(api, database, b"version: 1\n# \xff\n", expect=400)
    check(api, NOWHERE, "version: 1\n", expect=404)


def test_a_source_that_is_away_is_said(api: Api, database: str, source: Path) -> None:
    source.unlink()

    assert '"checked":false' in check(api, database, "version: 1\ntables: [{name: user}]\n")
    api("GET", f"/databases/{database}/config/proposal", expect=409)


def test_a_proposal_says_how_many_values_it_rests_on(api: Api, database: str, source: Path) -> None:
    with closing(sqlite3.connect(source)) as db, db:
        db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, users_id INTEGER)")
        db.execute("INSERT INTO notes SELECT id, id FROM users")
    proposal = api.get(f"/databases/{database}/config/proposal")
    relation = next(one for one in proposal["relations"] if one["table"] == "notes")

    assert (relation["references"], relation["accepted"]) == ("users.id", True)
    assert relation["values"] == relation["found"] > 0
    api("GET", f"/databases/{NOWHERE}/config/proposal", expect=404)
