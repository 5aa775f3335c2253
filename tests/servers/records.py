"""Where the records of a test's control plane are kept: in SQLite, or in a PostgreSQL database of the test's own.

A test or fixture that asks for `records` runs once on each kind that `--records` names. Without the option most run on
SQLite alone, and those marked `both_records` on both.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from psycopg import sql
from sqlalchemy import URL

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


@pytest.fixture
def records(records_kind: str, request: pytest.FixtureRequest) -> Iterator[URL | None]:
    """None for the SQLite file of the data directory."""
    if records_kind == "sqlite":
        yield None
        return
    with empty_database(request.getfixturevalue("postgres_server")) as url:
        yield url


@pytest.fixture(scope="module")
def module_records(records_kind: str, request: pytest.FixtureRequest) -> Iterator[URL | None]:
    """The same for a whole module."""
    if records_kind == "sqlite":
        yield None
        return
    with empty_database(request.getfixturevalue("postgres_server")) as url:
        yield url


def as_text(records: URL | None) -> str | None:
    """As an operator writes it, with its password."""
    return records and records.set(drivername="postgresql").render_as_string(hide_password=False)
