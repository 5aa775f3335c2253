"""Where the records of a test's control plane are kept: in SQLite, or in a PostgreSQL database of the test's own.

A test or fixture that asks for `records` runs once on each kind that `--records` names (`make test RECORDS=...`).
Without the option most run on SQLite alone, and those marked `both_records` on both.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy import URL

from reflexdb.records.address import ADDRESS_VARIABLE
from tests.servers import postgres
from tests.servers.shared import Server

KINDS = ("sqlite", "postgresql")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--records", choices=(*KINDS, "both"), help="where control planes keep their records")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "both_records: runs on SQLite and on PostgreSQL")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "records_kind" not in metafunc.fixturenames:
        return
    chosen = metafunc.config.getoption("--records")
    marked = metafunc.definition.get_closest_marker("both_records") is not None
    kinds = KINDS if chosen == "both" or (chosen is None and marked) else (chosen or "sqlite",)
    metafunc.parametrize("records_kind", kinds, scope="module")


@pytest.fixture(scope="module")
def records_kind() -> str:
    """Overridden by the parametrization above."""
    return "sqlite"


@contextmanager
def empty_database(server: Server) -> Iterator[URL]:
    """A PostgreSQL database of the test's own, dropped afterwards with whoever is still connected."""
    name = f"r_{uuid.uuid4().hex[:12]}"
    with postgres.connect(server) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield URL.create("postgresql+psycopg", server.user, server.password, server.host, server.port, name)
    finally:
        with postgres.connect(server) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _records(kind: str, request: pytest.FixtureRequest) -> Iterator[URL | None]:
    if kind == "sqlite":
        yield None
        return
    with empty_database(request.getfixturevalue("postgres_server")) as url:
        yield url


@pytest.fixture
def records(records_kind: str, request: pytest.FixtureRequest) -> Iterator[URL | None]:
    """None for the SQLite file of the data directory."""
    with _records(records_kind, request) as url:
        yield url


@pytest.fixture(scope="module")
def module_records(records_kind: str, request: pytest.FixtureRequest) -> Iterator[URL | None]:
    """The same for a whole module."""
    with _records(records_kind, request) as url:
        yield url


def served_with(records: URL | None) -> dict[str, str]:
    """The environment of a control plane that keeps its records there, whatever that of the test run says."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ADDRESS_VARIABLE)}
    return environment if records is None else {**environment, ADDRESS_VARIABLE: as_text(records) or ""}


def as_text(records: URL | None) -> str | None:
    """As an operator writes it, with its password."""
    return records and records.set(drivername="postgresql").render_as_string(hide_password=False)


def connected(records: URL) -> psycopg.Connection[dict[str, Any]]:
    """Straight to the records on PostgreSQL, past every control plane."""
    return psycopg.connect(
        host=records.host, port=records.port, user=records.username, password=records.password,
        dbname=records.database, autocommit=True, row_factory=dict_row,
    )  # fmt: skip


def rows_of(records: URL, query: str) -> list[dict[str, Any]]:
    with connected(records) as connection:
        return connection.execute(query.encode()).fetchall()
