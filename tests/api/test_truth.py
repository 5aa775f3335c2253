"""What the API says of an instance is what runs: after changed settings, a failed step, another source."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.api.api import Api, sqlite_connection
from tests.api.plane import Plane
from tests.api.test_instances import query


@pytest.fixture
def running(plane: Plane, source: Path) -> tuple[Api, str]:
    api = plane.start()
    database: str = api.post("/connections", sqlite_connection(str(source), syncInterval=1), expect=201)["database"][
        "id"
    ]
    api.post(f"/databases/{database}/provision")
    assert api.settled(database)["status"] == "running"
    return api, database


def told(api: Api, database: str) -> tuple[str, str, bool]:
    """The level and size that run, and whether changes are pending."""
    status = api.get(f"/databases/{database}/instance")
    config = status["deployedInstanceConfig"]
    return config["logLevel"], config["instanceSize"], status["hasPendingChanges"]


def change(api: Api, database: str, **settings: Any) -> None:
    api("PATCH", f"/databases/{database}", settings, expect=200)


def do(api: Api, database: str, action: str, body: Any = None) -> str:
    api.post(f"/databases/{database}/{action}", body)
    status: str = api.settled(database)["status"]
    return status


def test_what_is_shown_as_deployed_is_what_runs_and_not_what_is_stored(running: tuple[Api, str], source: Path) -> None:
    api, database = running
    first = api.get(f"/databases/{database}/builds")["activeBuildId"]
    change(api, database, logLevel="debug")
    assert told(api, database) == ("info", "nano", True)
    change(api, database, logLevel="info")
    assert told(api, database) == ("info", "nano", False)

    change(api, database, logLevel="warn", instanceSize="small")
    hidden = source.rename(source.with_name("hidden.db"))
    assert do(api, database, "reconfigure") == "failed"
    assert told(api, database) == ("info", "nano", True)
    assert api.get(f"/databases/{database}")["lastError"].startswith("deploy")
    assert query(api, database).status_code == 200
    hidden.rename(source)
    assert do(api, database, "reconfigure") == "running"
    assert told(api, database) == ("warn", "small", False)

    assert do(api, database, "pause") == "paused"
    api.post(f"/databases/{database}/resize", {"instanceSize": "medium"})
    assert api.get(f"/databases/{database}/instance")["deployedInstanceConfig"] is None
    assert do(api, database, "resume") == "running"
    assert told(api, database) == ("warn", "medium", False)

    config = b"version: 1\ntables:\n  - name: users\n"
    yaml = {"Content-Type": "application/yaml"}
    api("PUT", f"/databases/{database}/config", content=config, headers=yaml, expect=204)
    assert told(api, database)[2] is True
    assert do(api, database, "rebuild") == "running"
    assert told(api, database)[2] is False
    assert do(api, database, "redeploy", {"buildId": first}) == "running"
    assert told(api, database)[2] is True


def test_a_connections_change_is_taken_up_by_the_next_rebuild_resume_and_resize(
    running: tuple[Api, str], source: Path
) -> None:
    api, database = running
    connection = api.get(f"/databases/{database}")["connectionId"]
    other = source.with_name("other.db")
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(other)) as two:
        one.backup(two)
        two.execute("DELETE FROM users WHERE id = 2")
        two.commit()

    def point_to(path: Path) -> int:
        api("PATCH", f"/connections/{connection}", {"mysqlHost": str(path)}, expect=200)
        assert told(api, database)[2] is True
        return len(query(api, database).json())

    assert point_to(other) == 2
    assert do(api, database, "rebuild") == "running"
    assert (len(query(api, database).json()), told(api, database)[2]) == (1, False)
    assert point_to(source) == 1
    assert do(api, database, "resize", {"instanceSize": "small"}) == "running"
    assert (len(query(api, database).json()), told(api, database)[2]) == (2, False)
    assert point_to(other) == 2
    assert (do(api, database, "pause"), do(api, database, "resume")) == ("paused", "running")
    assert (len(query(api, database).json()), told(api, database)[2]) == (1, False)
