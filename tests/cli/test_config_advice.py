"""`database config set` and `propose` against a real control plane and a real source."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from reflexdb.build.plan import make_plan
from reflexdb.cli.exits import Exit
from reflexdb.model.config import parse_config
from reflexdb.model.schema import Backend
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.registry import open_source
from tests.cli.conftest import Cli


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A schema that declares no key."""
    path = tmp_path / "source.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
        db.execute("CREATE TABLE posts (id INTEGER PRIMARY KEY, users_id INTEGER, tag_id INTEGER)")
        db.execute("CREATE TABLE tags (id INTEGER PRIMARY KEY)")
        db.executemany("INSERT INTO users VALUES (?, 'x')", [(n,) for n in range(1, 50)])
        db.executemany("INSERT INTO posts VALUES (?, ?, ?)", [(n, n % 49 + 1, n) for n in range(1, 200)])
        db.execute("INSERT INTO tags VALUES (1)")
    return path


def stored(cli: Cli, database: str) -> bool:
    return cli("database", "config", "get", database).code == 0


def put(cli: Cli, database: str, file: Path, text: str) -> tuple[int, str]:
    file.write_text(text)
    outcome = cli("database", "config", "set", database, str(file))
    return outcome.code, outcome.err


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("tables: [{name: user}]", 'no table "user". Did you mean "users"'),
        ("overrides: {users: {columns: [nam]}}", 'no column "nam". Did you mean "name"'),
        ("overrides: {users: {relations: {exclude: [boss]}}}", 'no forward relation "boss"'),
    ],
)
def test_a_name_the_source_lacks_is_refused(cli: Cli, database: str, tmp_path: Path, config: str, words: str) -> None:
    code, said = put(cli, database, tmp_path / "reflexdb.yaml", f"version: 1\n{config}\n")

    assert code != 0
    assert words in said
    assert not stored(cli, database)


def test_a_file_is_stored_though_the_source_is_away(cli: Cli, database: str, source: Path, tmp_path: Path) -> None:
    source.unlink()
    code, said = put(cli, database, tmp_path / "reflexdb.yaml", "version: 1\ntables: [{name: user}]\n")

    assert code == Exit.OK
    assert "not checked against the source" in said
    assert stored(cli, database)


def test_proposed_relations_are_borne_out_by_rows(cli: Cli, database: str, source: Path) -> None:
    proposed = cli("database", "config", "propose", database)
    schema = open_source(SourceAddress(Backend.SQLITE, str(source))).introspect("main")
    plan = make_plan(schema, parse_config(proposed.out)).plan

    assert [relation.name for one in plan.tables for relation in one.forward] == ["users"]
    assert "{column: tag_id, references: tags.id}  # 1 of 199 values found" in proposed.out
    assert not stored(cli, database)
