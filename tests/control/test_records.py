"""The metadata database: its migrations arrive at its tables, and its transactions keep what they promise."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.exc import IntegrityError

from reflexdb.model.errors import SystemError_
from reflexdb.records import accounts, audit, builds, connections, databases, deployments, jobs
from reflexdb.records.billing_tables import billing
from reflexdb.records.builds import BuildFilter
from reflexdb.records.store import Store
from tests.control.schemas import address, declared, schema

NOW = datetime(2026, 4, 15, 12, tzinfo=UTC)


pytestmark = pytest.mark.both_records


@pytest.fixture
def where(tmp_path: Path, records: URL | None) -> Path | URL:
    """Of a metadata database that is not there yet."""
    return records or tmp_path / "metadata.db"


@pytest.fixture
def store(where: Path | URL) -> Iterator[Store]:
    store = Store(where)
    with store.write() as tx:
        accounts.add_customer(tx, id="customer", name="a", plan="free", created_at=NOW)
        add_connection(tx, "connection", "customer")
        add_database(tx, "database", "d")
    yield store
    store.close()


def add_connection(tx: Connection, connection_id: str, customer_id: str) -> None:
    connections.add(
        tx, id=connection_id, customer_id=customer_id, name="c", backend="sqlite", host="/x", port=1, user="",
        available_schemas=["main"], sync_mode="poll", sync_interval_s=30, created_at=NOW, updated_at=NOW,
    )  # fmt: skip


def add_database(tx: Connection, database_id: str, name: str, customer_id: str = "customer") -> None:
    databases.add(
        tx, id=database_id, customer_id=customer_id, connection_id="connection", name=name, schema_name="main",
        instance_size="nano", log_level="info", status="registered", region="local", tags=[], created_at=NOW,
        updated_at=NOW,
    )  # fmt: skip


def test_migrations_arrive_at_the_tables(tmp_path: Path, where: Path | URL, records_kind: str) -> None:
    Store(where).close()
    with declared(tmp_path, where) as other:
        billing.metadata.create_all(create_engine(address(other)))

        assert schema(where) == schema(other)


def test_opening_again_changes_nothing(where: Path | URL) -> None:
    Store(where).close()
    before = schema(where)
    Store(where).close()

    assert schema(where) == before


def test_two_processes_may_migrate_at_once(where: Path | URL) -> None:
    errors: list[Exception] = []

    def open_it() -> None:
        try:
            Store(where).close()
        except Exception as exc:
            errors.append(exc)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []


def test_records_of_a_newer_version_are_refused(where: Path | URL) -> None:
    store = Store(where)
    with store.write() as tx:
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    store.close()

    with pytest.raises(SystemError_, match="newer version"):
        Store(where)


def test_writers_follow_each_other(store: Store) -> None:
    """Each reads a number and writes the next: none is lost, however they race."""

    def count() -> None:
        for _ in range(5):
            with store.write() as tx:
                port = databases.by_id(tx, "database").port or 0
                databases.change(tx, "database", NOW, port=port + 1)

    threads = [threading.Thread(target=count) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with store.read() as tx:
        assert databases.by_id(tx, "database").port == 30


def test_the_audit_can_only_be_added_to(store: Store) -> None:
    with store.write() as tx:
        audit.add(tx, customer_id="customer", at=NOW, trigger="api", action="a", target_type="t", target_id="i")
    for statement in ("UPDATE audit SET action = 'b'", "DELETE FROM audit"):
        with pytest.raises(IntegrityError), store.write() as tx:
            tx.exec_driver_sql(statement)


def test_numbers_beyond_32_bits_are_kept(store: Store) -> None:
    with store.write() as tx:
        databases.change(tx, "database", NOW, binlog_server_id=2**32 - 1)
        builds.add(tx, database_id="database", id="b", status="succeeded", created_at=NOW, image_bytes=2**40)
    with store.read() as tx:
        assert databases.by_id(tx, "database").binlog_server_id == 2**32 - 1
        assert builds.by_id(tx, "b").image_bytes == 2**40


def test_durability_is_what_was_asked_for(store: Store, records_kind: str) -> None:
    if records_kind == "postgresql":
        with store.write() as tx:
            name = tx.exec_driver_sql("SELECT current_database()").scalar()
            tx.exec_driver_sql(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
        store.close()  # whoever connects from now on finds it off
        with store.read() as tx:
            assert tx.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        return
    with store.read() as tx:
        found = {name: tx.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")}
        keys = tx.exec_driver_sql("PRAGMA foreign_keys").scalar()

    assert (found, keys) == ({"journal_mode": "wal", "synchronous": 2}, 1)


def test_an_exception_rolls_everything_back(store: Store) -> None:
    def change_and_fail() -> None:
        with store.write() as tx:
            databases.change(tx, "database", NOW, name="changed")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_and_fail()

    with store.read() as tx:
        assert databases.by_id(tx, "database").name == "d"


def test_a_read_sees_one_state_whatever_is_written_meanwhile(store: Store) -> None:
    with store.read() as tx:
        first = databases.by_id(tx, "database").name
        with store.write() as other:
            databases.change(other, "database", NOW, name="changed")

        assert databases.by_id(tx, "database").name == first


def test_times_come_back_in_utc_with_their_microseconds(store: Store) -> None:
    there = timezone(timedelta(hours=2))
    with store.write() as tx:
        databases.change(tx, "database", datetime(2026, 4, 15, 14, 0, 0, 123456, tzinfo=there))
        row = databases.by_id(tx, "database")

    assert row.updated_at == datetime(2026, 4, 15, 12, 0, 0, 123456, tzinfo=UTC)
    assert row.updated_at.tzinfo is UTC


def test_a_database_has_at_most_one_unfinished_job(store: Store) -> None:
    with store.write() as tx:
        jobs.add(tx, id="one", database_id="database", action="provision", created_at=NOW)
        jobs.finish(tx, "one", NOW)
        jobs.add(tx, id="two", database_id="database", action="provision", created_at=NOW)
    with pytest.raises(IntegrityError), store.write() as tx:
        jobs.add(tx, id="three", database_id="database", action="provision", created_at=NOW)


def test_a_database_has_at_most_one_serving_deployment(store: Store) -> None:
    with store.write() as tx:
        builds.add(tx, database_id="database", id="build", status="succeeded", created_at=NOW)
        for name in ("one", "two"):
            deployments.add(
                tx, id=name, database_id="database", build_id="build", settings={}, created_at=NOW, updated_at=NOW
            )
        deployments.change(tx, "one", NOW, serving_at=NOW)
    with pytest.raises(IntegrityError), store.write() as tx:
        deployments.change(tx, "two", NOW, serving_at=NOW)


def test_builds_are_numbered_without_gaps_and_listed_newest_first(store: Store) -> None:
    with store.write() as tx:
        for name in ("a", "b", "c"):
            builds.add(tx, database_id="database", id=name, status="queued", created_at=NOW)
        listed = [(build.id, build.number) for build in builds.chosen(tx, "database", BuildFilter())]

    assert listed == [("c", 3), ("b", 2), ("a", 1)]


def test_a_name_is_free_again_once_its_database_is_deleted(store: Store) -> None:
    with pytest.raises(IntegrityError), store.write() as tx:
        add_database(tx, "second", "d")
    with store.write() as tx:
        databases.change(tx, "database", NOW, deleted_at=NOW)
        add_database(tx, "second", "d")

        assert [row.id for row in databases.these(tx, ["database", "second"])] == ["second"]


def test_a_database_can_not_point_to_a_connection_that_is_not_there(store: Store) -> None:
    with pytest.raises(IntegrityError), store.write() as tx:
        databases.add(
            tx, id="x", customer_id="customer", connection_id="nowhere", name="x", schema_name="main",
            instance_size="nano", log_level="info", status="registered", region="local", tags=[], created_at=NOW,
            updated_at=NOW,
        )  # fmt: skip
