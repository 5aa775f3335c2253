"""A metadata database that an earlier version wrote, with data in it: what was known stays, what was not is null."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, inspect

from reflexdb.records import builds, databases, deployments, jobs
from reflexdb.records.builds import BuildFilter
from reflexdb.records.jobs import JobFilter
from reflexdb.records.store import Store
from tests.control.schemas import address, declared, schema
from tests.control.test_records import NOW

pytestmark = pytest.mark.both_records

T = "2026-04-15T12:00:00.000000Z"
ROWS = f"""
    INSERT INTO customers VALUES ('c', 'default', 'free', '{T}');
    INSERT INTO management_keys VALUES ('k', 'c', 'abcd', 'first key', '00', '{T}', NULL, NULL, NULL);
    INSERT INTO connections VALUES
        ('n', 'c', 'source', 'sqlite', '/x', 3306, '["main"]', '', NULL, 'poll', 30, '{T}', '{T}', NULL);
    INSERT INTO databases VALUES
        ('d', 'c', 'n', 'blog', 'main', 'nano', 'info', 'running', NULL, NULL, NULL, 'local', NULL, NULL, NULL, NULL,
         '[]', 4711, NULL, '{T}', '{T}', NULL);
    INSERT INTO builds VALUES
        ('b1', 'd', 1, 'failed', NULL, NULL, NULL, NULL, NULL, 3, 'build (compile): no', '{T}', '{T}', '{T}'),
        ('b2', 'd', 2, 'succeeded', 'sha256:1', 'oci:/x@sha256:1', NULL, NULL, 1, 3, NULL, '{T}', '{T}', '{T}');
    INSERT INTO deployments VALUES
        ('p', 'd', 'b2', '{{}}', NULL, 'http://x', 'ok', NULL, 1, 1, '{{"users": 2}}', FALSE, '{T}', '{T}', '{T}',
         '{T}', NULL);
    INSERT INTO jobs VALUES
        ('j1', 'd', 'provision', 'b1', NULL, 1, 'o', 'build (compile): no', '{T}', '{T}', '{T}'),
        ('j2', 'd', 'rebuild', 'b2', 'p', 1, 'o', NULL, '{T}', '{T}', '{T}');
"""


@pytest.fixture
def first(tmp_path: Path, records: URL | None) -> Path | URL:
    """What the first revision left behind."""
    where = records or tmp_path / "metadata.db"
    store = Store(where, migrate=False)
    store.upgrade("0001")
    with store.write() as tx:
        for statement in ROWS.split(";\n"):
            if statement.strip():
                tx.exec_driver_sql(statement)
    store.close()
    return where


def contents(where: Path | URL) -> dict[str, list[tuple[object, ...]]]:
    engine = create_engine(address(where))
    with engine.connect() as connection:
        names = sorted(set(inspect(connection).get_table_names()) - {"alembic_version"})
        found = {name: connection.exec_driver_sql(f"SELECT * FROM {name}").fetchall() for name in names}
    engine.dispose()
    return {name: [tuple(row) for row in rows] for name, rows in found.items()}


def test_an_earlier_database_arrives_at_the_same_tables_as_a_new_one(first: Path | URL, tmp_path: Path) -> None:
    Store(first).close()
    with declared(tmp_path, first) as new:
        Store(new).close()

        assert schema(first) == schema(new)


def test_nothing_of_an_earlier_database_is_lost(first: Path | URL) -> None:
    before = contents(first)
    Store(first).close()
    after = contents(first)

    before["customers"] = [(*row[:2], "unlimited", *row[3:]) for row in before["customers"]]
    for name, rows in before.items():
        width = len(rows[0]) if rows else 0
        assert [row[:width] for row in after[name]] == rows


def test_what_an_earlier_version_did_not_keep_is_null(first: Path | URL) -> None:
    store = Store(first)
    with store.read() as tx:
        newest, oldest = builds.chosen(tx, "d", BuildFilter())
        [rebuilt, provisioned] = jobs.deploying(tx, "d", ("provision", "rebuild"), JobFilter(), limit=10)
        served = deployments.last_of_build(tx, "b2")
        row = databases.by_id(tx, "d")
    store.close()

    assert (newest.number, oldest.number, oldest.error) == (2, 1, "build (compile): no")
    assert {newest.trigger, newest.key_id, newest.phases, newest.image_bytes, oldest.error_step} == {None}
    assert {rebuilt.kind, rebuilt.from_build_id, provisioned.error_code} == {None}
    assert served is not None
    assert (served.row_counts, served.source_position) == ({"users": 2}, None)
    assert row.port == 4711


def test_an_earlier_database_is_written_on(first: Path | URL) -> None:
    store = Store(first)
    with store.write() as tx:
        builds.add(tx, id="b3", database_id="d", status="queued", created_at=NOW, trigger="api", key_name="first key")
        builds.note_phase(tx, "b3", "introspect", NOW, None)
        builds.note_phase(tx, "b3", "introspect", NOW, NOW)
    with store.read() as tx:
        row = builds.by_id(tx, "b3")
    store.close()

    at = "2026-04-15T12:00:00.000000Z"
    assert (row.number, row.phases) == (3, ({"name": "introspect", "startedAt": at, "finishedAt": at},))
