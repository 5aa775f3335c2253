"""A sample hangs together: what its rows refer to is in it, and it is small."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from reflexdb.build.plan import make_plan
from reflexdb.model.plan import Plan
from reflexdb.sources import open_source
from reflexdb.sources.base import Some, Source
from reflexdb.sources.sample import ROWS, TABLE_ROWS, Sample, take
from tests.servers.plugin import TestDatabase
from tests.sources.helpers import mysql_address, postgres_address
from tests.sources.test_sqlite_types import address, execute

COUNT = 3 * ROWS
HOSTILE = "\\'; DROP TABLE leaves; --"
FOREST = (
    "CREATE TABLE trees (id int PRIMARY KEY, name varchar(90) NOT NULL UNIQUE)",
    "CREATE TABLE twigs (id int PRIMARY KEY, tree int REFERENCES trees (id), "
    "CONSTRAINT grows FOREIGN KEY (tree) REFERENCES trees (id))",
    "CREATE TABLE leaves (id int PRIMARY KEY, twig int, tree_name varchar(90), "
    "FOREIGN KEY (twig) REFERENCES twigs (id), FOREIGN KEY (tree_name) REFERENCES trees (name))",
)


def rows(quote: Callable[[str], str]) -> tuple[str, ...]:
    """Every leaf grows on a twig, and every twig on a tree, that is far behind in its table."""
    numbers = range(COUNT)
    names = [quote(HOSTILE if number == COUNT - 7 else f"t{number}") for number in numbers]
    trees = ", ".join(f"({number}, {names[number]})" for number in numbers)
    twigs = ", ".join(f"({number}, {COUNT - 1 - number // 2})" for number in numbers)
    leaves = ", ".join(f"({number}, {COUNT - 1 - number // 3}, {names[COUNT - 1 - number % 20]})" for number in numbers)
    return (
        f"INSERT INTO trees VALUES {trees}",
        f"INSERT INTO twigs VALUES {twigs}",
        f"INSERT INTO leaves VALUES {leaves}",
    )


def fill(database: TestDatabase, *statements: str) -> None:
    with closing(database.connect()) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


def taken(source: Source, schema: str) -> tuple[Plan, Sample]:
    with closing(source):
        plan = make_plan(source.introspect(schema), None).plan
        with source.snapshot(plan) as reader:
            return plan, take(reader, plan)


def check(plan: Plan, sample: Sample) -> None:
    for table, sampled in zip(plan.tables, sample, strict=True):
        assert ROWS <= sampled.rows <= TABLE_ROWS, table.name
        keys = sampled.keys(table.primary_key)
        assert len(set(keys)) == len(keys), "no row is there twice"
        for relation in table.forward:
            there = set(sample[relation.target].keys(relation.target_columns))
            assert set(sampled.keys(relation.columns)) <= there, (table.name, relation.name)
    trees = next(each for each, table in zip(sample, plan.tables, strict=True) if table.name == "trees")
    assert (HOSTILE,) in trees.keys((1,))


def test_what_the_rows_of_a_sqlite_file_refer_to_is_in_the_sample(tmp_path: Path) -> None:
    execute(tmp_path / "a.db", *FOREST, *rows(lambda text: "'" + text.replace("'", "''") + "'"))

    check(*taken(open_source(address(tmp_path / "a.db")), "main"))


def test_what_the_rows_of_a_mariadb_schema_refer_to_is_in_the_sample(mariadb_database: TestDatabase) -> None:
    quote = lambda text: "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"  # noqa: E731
    fill(mariadb_database, *FOREST, *rows(quote))

    check(*taken(open_source(mysql_address(mariadb_database)), mariadb_database.schema))


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_what_the_rows_of_a_postgresql_schema_refer_to_is_in_the_sample(
    postgres_database: TestDatabase, conforming: str
) -> None:
    """However the server reads backslashes in literals: a name that ends a literal early would be SQL."""
    quote = lambda text: "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"  # noqa: E731
    setting = f'ALTER DATABASE "{postgres_database.schema}" SET standard_conforming_strings = {conforming}'
    fill(postgres_database, *FOREST, *rows(quote))
    fill(postgres_database, setting)

    check(*taken(open_source(postgres_address(postgres_database)), postgres_database.schema))


def test_the_first_rows_are_those_that_the_predicate_allows(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    execute(file, "CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1), (2), (3), (4)")
    source = open_source(address(file))
    with closing(source):
        plan = make_plan(source.introspect("main"), None).plan
        table = plan.tables[0]
        odd = replace(table, where="id % 2 = 1 -- odd")
        with source.snapshot(plan) as reader:
            found = [
                [row for batch in reader.some(each, wanted) for row in batch.column(0).to_pylist()]
                for each, wanted in (
                    (table, Some(2)),
                    (odd, Some(9)),
                    (odd, Some(9, (0,), ((1,), (2,)))),
                )
            ]

    assert found == [[1, 2], [1, 3], [1]]


def test_a_sample_ends_when_it_is_called_off(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    execute(file, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
    source = open_source(address(file))

    def stop(_doing: str) -> None:
        raise KeyboardInterrupt

    with closing(source):
        plan = make_plan(source.introspect("main"), None).plan
        with source.snapshot(plan) as reader, pytest.raises(KeyboardInterrupt):
            take(reader, plan, stop)
