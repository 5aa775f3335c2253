"""A control plane in this process, on a directory of its own, with the real rooms behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL
from starlette.testclient import TestClient

from reflexdb.api.app import create_app
from reflexdb.control.control import Control
from reflexdb.control.local import open_control
from reflexdb.control.rooms import Settings
from tests.api.api import UNHURRIED, Api, make_source, sqlite_connection
from tests.api.operator import let_operate
from tests.api.plane import Plane, plane_on
from tests.api.shop import Shop, shop_on
from tests.servers.collector import Collector
from tests.servers.stripe import stripe_server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small SQLite database with two tables and a relation."""
    return make_source(tmp_path / "source.db")


@pytest.fixture
def control(tmp_path: Path, records: URL | None) -> Iterator[Control]:
    """Not started: actions are accepted and written down, and nothing carries them out."""
    directory = tmp_path / "data"
    directory.mkdir()
    control = open_control(directory, Settings(base_url="http://127.0.0.1:8400"), "127.0.0.1", records)
    yield control
    control.rooms.store.close()


@pytest.fixture
def api(control: Control) -> Iterator[Api]:
    first = control.accounts.ensure_first()
    assert first is not None
    with TestClient(create_app(control, UNHURRIED), raise_server_exceptions=False) as client:
        yield Api(client, first.key)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, module_records: URL | None) -> Iterator[Api]:
    """One empty control plane for a whole module of requests that change nothing, or nothing that matters.

    Its key speaks for the operator too.
    """
    directory = tmp_path_factory.mktemp("data")
    control = open_control(directory, Settings(base_url="http://127.0.0.1:8400"), "127.0.0.1", module_records)
    first = control.accounts.ensure_first()
    assert first is not None
    with (
        pytest.MonkeyPatch.context() as patch,
        TestClient(create_app(control, UNHURRIED), raise_server_exceptions=False) as client,
    ):
        let_operate(control, first.key, patch)
        yield Api(client, first.key)
    control.rooms.store.close()


@pytest.fixture
def database(api: Api, source: Path) -> str:
    """The id of a registered database."""
    created = api.post("/connections", sqlite_connection(str(source)), expect=201)
    database_id: str = created["database"]["id"]
    return database_id


@pytest.fixture
def shop(tmp_path: Path, source: Path, records: URL | None) -> Iterator[Shop]:
    """A control plane that sells plans, with a Stripe of its own."""
    (tmp_path / "shop").mkdir()
    with stripe_server() as stripe, shop_on(tmp_path / "shop", source, stripe, records) as shop:
        yield shop


@pytest.fixture
def data(tmp_path: Path, pytestconfig: pytest.Config) -> Path:
    """A data directory for a control plane that builds; the engine's objects are shared by all tests and runs."""
    shared = Path(str(pytestconfig.cache.mkdir("engine-objects")))  # type: ignore[union-attr]  # the plugin is on
    directory = tmp_path / "data"
    (directory / "cache").mkdir(parents=True)
    (directory / "cache" / "engine").symlink_to(shared)
    return directory


@pytest.fixture
def plane(data: Path, records: URL | None) -> Iterator[Plane]:
    """A control plane in a process of its own, not started yet."""
    with plane_on(data, records) as plane:
        yield plane


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
