"""A client for tests; what it is answered is held against the contract, like every answer (contract/plugin.py)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from reflexdb.api.settings import ApiSettings

UNHURRIED = ApiSettings(rate_limit=0, auth_failures=0)
"""For tests that ask faster, and fail more often, than anybody may."""
STABLE = {"registered", "running", "paused", "failed", "stopped", "terminated"}
LIMIT_S = 300.0


@dataclass
class Api:
    """Speaks to one control plane with one key."""

    client: httpx.Client
    key: str

    def __call__(
        self, method: str, path: str, json: Any = None, *, expect: int | None = None, **options: Any
    ) -> httpx.Response:
        headers: Mapping[str, str] = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        if json is not None:
            options["json"] = json
        reply = self.client.request(method, f"/v1{path}", headers=headers, **options)
        if expect is not None:
            assert reply.status_code == expect, reply.text
        return reply

    def get(self, path: str) -> Any:
        return self("GET", path, expect=200).json()

    def post(self, path: str, json: Any = None, expect: int = 202) -> Any:
        return self("POST", path, json, expect=expect).json()

    def settled(self, database_id: str) -> dict[str, Any]:
        """The database once its status is stable and nothing is queued."""

        def stable() -> dict[str, Any] | None:
            database = self.get(f"/databases/{database_id}")
            return database if database["status"] in STABLE and database["desiredState"] is None else None

        return until(stable, f"database {database_id} to settle")


def until(ask: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    """The first truthy answer."""
    deadline = time.monotonic() + limit_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"waited {limit_s} s in vain for {what}"
        time.sleep(0.05)
    return answer


def make_source(path: Path) -> Path:
    """A small SQLite database with two tables and a relation."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);"
            "CREATE TABLE posts (id INTEGER PRIMARY KEY, title TEXT, author_id INTEGER REFERENCES users(id));"
            "INSERT INTO users VALUES (1, 'Ada'), (2, 'Zoë');"
            "INSERT INTO posts VALUES (1, 'Hello', 1), (2, NULL, 2), (3, 'Again', 1);"
        )
    return path


def sqlite_connection(path: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": "source",
        "backend": "sqlite",
        "mysqlHost": path,
        "availableSchemas": ["main"],
        "instance": {"name": "blog", "mysqlDb": "main"},
        **changes,
    }
