"""The Chinook sample database from all three kinds of source, through a user's whole journey.

Needs the sample's three SQL scripts in the directory that REFLEXDB_CHINOOK names; they are not part of the project.
`make acceptance CHINOOK=DIR` runs this alone.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.oracle import objects
from tests.acceptance.plane import Endpoint, Plane, address, load, wait_until
from tests.servers import mariadb, postgres
from tests.servers.shared import Server

SCRIPTS = Path(os.environ.get("REFLEXDB_CHINOOK") or "/nonexistent")

pytestmark = [
    pytest.mark.skipif(not SCRIPTS.is_dir(), reason="needs REFLEXDB_CHINOOK, the directory of the sample's scripts"),
    pytest.mark.timeout(900),
]


class Sample:
    """One loaded copy of the sample: how to reach it, how to ask it, and how it spells a name."""

    def __init__(self, kind: str, source: dict[str, Any], schema: str, server: Server | None = None) -> None:
        self.kind = kind
        self.server = server
        self.source = source
        self.schema = schema

    def spell(self, name: str) -> str:
        """`InvoiceLine.UnitPrice` as this source writes it: the PostgreSQL sample is in snake case."""
        if self.kind != "postgres":
            return name
        return (
            "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
            .replace("._", ".")
            .strip("_")
        )

    def relation(self, name: str) -> str:
        return self.spell(name).removesuffix("_id")

    def connect(self) -> Any:
        if self.kind == "sqlite":
            return sqlite3.connect(self.source["mysqlHost"])
        if self.kind == "mysql":
            return mariadb.connect(self.server, self.schema)
        return postgres.connect(self.server, self.schema)

    def ask(self, sql: str) -> tuple[list[str], list[Sequence[Any]]]:
        connection = self.connect()
        try:
            cursor = connection.cursor()
            cursor.execute(sql)
            return [column[0] for column in cursor.description], list(cursor.fetchall())
        finally:
            connection.close()

    def change(self, *statements: str) -> None:
        connection = self.connect()
        try:
            for statement in statements:
                connection.cursor().execute(statement)
            connection.commit()
        finally:
            connection.close()

    def declared(self, table: str) -> list[str]:
        if self.kind != "sqlite":
            return []
        return [row[2] for row in self.ask(f'PRAGMA table_info("{table}")')[1]]


def _sqlite(tmp: Path) -> Sample:
    path = tmp / "chinook.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript((SCRIPTS / "Chinook_Sqlite.sql").read_text("utf-8-sig"))
    connection.close()
    return Sample("sqlite", {"backend": "sqlite", "mysqlHost": str(path)}, "main")


@pytest.fixture(params=["sqlite", "mysql", "postgres"])
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> Sample:
    if request.param == "sqlite":
        return _sqlite(tmp_path)
    if request.param == "mysql":
        server = request.getfixturevalue("mariadb_server")
        script = (SCRIPTS / "Chinook_MySql.sql").read_bytes()
        subprocess.run(
            [
                "mariadb",
                "--no-defaults",
                f"-h{server.host}",
                f"-P{server.port}",
                f"-u{server.user}",
                f"-p{server.password}",
                "--protocol=tcp",
                "--default-character-set=utf8mb4",
            ],
            input=script,
            check=True,
            timeout=120,
        )
        return Sample("mysql", address("mysql", server), "Chinook", server)
    database = request.getfixturevalue("postgres_database")
    script = (SCRIPTS / "Chinook_PostgreSql.sql").read_text("utf-8-sig")
    lines = [line for line in script.splitlines() if not line.startswith(("DROP DATABASE", "CREATE DATABASE", "\\c"))]
    server = request.getfixturevalue("postgres_server")
    found = Sample("postgres", address("postgres", database), database.schema, server)
    found.change("\n".join(lines))
    return found


TABLES = (
    "Album", "Artist", "Customer", "Employee", "Genre", "Invoice", "InvoiceLine", "MediaType", "Playlist", "PlaylistTrack", "Track",
)  # fmt: skip


def test_chinook_is_served_changed_rebuilt_and_rolled_back_without_a_failed_request(
    sample: Sample, plane: Plane
) -> None:
    """The journey of the first day: every answer equals the source's own SQL, and no request fails on the way."""
    tested = plane.call("POST", "/connections/test-connection", sample.source, 200)
    assert tested["ok"], tested
    assert sample.schema in tested["availableSchemas"]
    database = plane.register(f"chinook-{sample.kind}", sample.source, sample.schema)
    assert plane.history(database) == {"builds": [], "activeBuildId": None}

    first = plane.act(database, "provision")["buildId"]
    plane.require_running(database)
    _check_history(plane, database, [first], active=first)
    endpoint = Endpoint(plane.database(database)["endpointUrl"], plane.key(database))

    _check_every_table(sample, endpoint)
    _check_nested(sample, endpoint)
    _check_filters(sample, endpoint)

    track, name = sample.spell("Track"), sample.spell("Name")
    quote = '"' if sample.kind != "mysql" else "`"
    sample.change(
        f"ALTER TABLE {quote}{track}{quote} ADD COLUMN rating INTEGER",
        f"UPDATE {quote}{track}{quote} SET rating = CHAR_LENGTH({quote}{name}{quote})".replace(
            "CHAR_LENGTH", "LENGTH" if sample.kind == "sqlite" else "CHAR_LENGTH"
        ),
    )
    hot = f"{track}({sample.spell('TrackId')} = 7) {{ {name} }}"
    with load(endpoint, hot) as during_rebuild:
        second = plane.act(database, "rebuild")["buildId"]
    plane.require_running(database)
    assert during_rebuild["failed"] == 0
    assert during_rebuild["requests"] > 100
    _check_history(plane, database, [second, first], active=second)
    rated = endpoint.query(f"{track}(rating > 100) {{ {name} rating }}")
    assert rated
    assert all(row["rating"] == len(row[name]) for row in rated)

    with load(endpoint, hot) as during_rollback:
        plane.act(database, "redeploy", {"buildId": first})
    plane.require_running(database)
    assert during_rollback["failed"] == 0
    assert during_rollback["requests"] > 100
    _check_history(plane, database, [second, first], active=first)
    refused = endpoint.raw(f"{track} {{ rating }}")
    assert refused.status_code == 400
    assert refused.json()["error"] == "unknown_field"

    plane.act(database, "terminate")
    _check_history(plane, database, [second, first], active=None)


def _check_history(plane: Plane, database: str, ids: list[str], active: str | None) -> None:
    history = plane.history(database)
    assert [build["id"] for build in history["builds"]] == ids
    assert history["activeBuildId"] == active
    for build in history["builds"]:
        assert build["status"] == "succeeded"
        assert build["deployable"] is True
        assert build["codebuildId"] is None
        assert build["computeTypeUsed"] == "BUILD_GENERAL1_LARGE"
        assert build["buildDurationSeconds"] >= 0
        assert isinstance(build["costEstimateCents"], int)
        assert build["finishedAt"] >= build["createdAt"]
        assert build["logsUrl"].startswith("http")


def _check_every_table(sample: Sample, endpoint: Endpoint) -> None:
    quote = "`" if sample.kind == "mysql" else '"'
    for table in map(sample.spell, TABLES):
        columns, rows = sample.ask(f"SELECT * FROM {quote}{table}{quote}")
        expected = objects(columns, rows, sample.declared(table))
        answer = endpoint.query(f"{table} {{ * }}")
        key = columns[: 2 if table in {"PlaylistTrack", "playlist_track"} else 1]
        assert answer == sorted(expected, key=lambda row, key=key: [row[name] for name in key]), table


def _check_nested(sample: Sample, endpoint: Endpoint) -> None:
    s, r = sample.spell, sample.relation
    answer = endpoint.query(
        f"{s('Artist')}({s('ArtistId')} IN (1, 2, 90)) {{ {s('Name')} {s('Album')} {{ {s('Title')} {s('Track')} {{ {s('Name')} "
        f"{r('GenreId')} {{ {s('Name')} }} {s('InvoiceLine')} {{ {s('UnitPrice')} {s('Quantity')} }} }} }} }}"
    )
    quote = "`" if sample.kind == "mysql" else '"'

    def q(name: str) -> str:
        return f"{quote}{s(name)}{quote}"

    def rows(sql: str) -> list[Sequence[Any]]:
        return sample.ask(sql)[1]

    expected = []
    for artist_id, artist in rows(
        f"SELECT {q('ArtistId')}, {q('Name')} FROM {q('Artist')} WHERE {q('ArtistId')} IN (1, 2, 90) ORDER BY 1"
    ):
        albums = []
        for album_id, title in rows(
            f"SELECT {q('AlbumId')}, {q('Title')} FROM {q('Album')} WHERE {q('ArtistId')} = {artist_id} ORDER BY 1"
        ):
            tracks = []
            for track_id, name, genre in rows(
                f"SELECT t.{q('TrackId')}, t.{q('Name')}, g.{q('Name')} FROM {q('Track')} t "
                f"LEFT JOIN {q('Genre')} g ON g.{q('GenreId')} = t.{q('GenreId')} WHERE t.{q('AlbumId')} = {album_id} ORDER BY 1"
            ):
                columns, lines = sample.ask(
                    f"SELECT {q('UnitPrice')}, {q('Quantity')} FROM {q('InvoiceLine')} WHERE {q('TrackId')} = {track_id} ORDER BY {q('InvoiceLineId')}"
                )
                tracks.append(
                    {
                        s("Name"): name,
                        r("GenreId"): None if genre is None else {s("Name"): genre},
                        s("InvoiceLine"): objects(columns, lines),
                    }
                )
            albums.append({s("Title"): title, s("Track"): tracks})
        expected.append({s("Name"): artist, s("Album"): albums})
    assert answer == expected


def _check_filters(sample: Sample, endpoint: Endpoint) -> None:
    s, r = sample.spell, sample.relation
    quote = "`" if sample.kind == "mysql" else '"'

    def q(name: str) -> str:
        return f"{quote}{s(name)}{quote}"

    def same(query: str, sql: str) -> None:
        columns, rows = sample.ask(sql)
        expected = objects(columns, rows)
        assert endpoint.query(query) == expected, query
        assert expected, sql

    same(
        f"{s('Track')}({s('Milliseconds')} > 300000 AND ({s('UnitPrice')} = 1.99 OR {s('Composer')} IS NULL)) {{ {s('TrackId')} {s('Name')} }}",
        f"SELECT {q('TrackId')}, {q('Name')} FROM {q('Track')} WHERE {q('Milliseconds')} > 300000 "
        f"AND ({q('UnitPrice')} = 1.99 OR {q('Composer')} IS NULL) ORDER BY 1",
    )
    same(
        f'{s("Customer")}({s("Invoice")}.{s("InvoiceLine")}.{r("TrackId")}.{r("GenreId")}.{s("Name")} = "Jazz") {{ {s("CustomerId")} }}',
        f"SELECT DISTINCT c.{q('CustomerId')} FROM {q('Customer')} c JOIN {q('Invoice')} i ON i.{q('CustomerId')} = c.{q('CustomerId')} "
        f"JOIN {q('InvoiceLine')} l ON l.{q('InvoiceId')} = i.{q('InvoiceId')} JOIN {q('Track')} t ON t.{q('TrackId')} = l.{q('TrackId')} "
        f"JOIN {q('Genre')} g ON g.{q('GenreId')} = t.{q('GenreId')} WHERE g.{q('Name')} = 'Jazz' ORDER BY 1",
    )
    same(
        f"{s('Track')}({s('Name')} LIKE '%Love%' ORDER BY {s('Milliseconds')} DESC, {s('TrackId')} LIMIT 10 OFFSET 5) "
        f"{{ {s('TrackId')} {s('Milliseconds')} }}",
        f"SELECT {q('TrackId')}, {q('Milliseconds')} FROM {q('Track')} WHERE {q('Name')} {_like(sample)} "
        f"ORDER BY {q('Milliseconds')} DESC, {q('TrackId')} LIMIT 10 OFFSET 5",
    )
    same(
        f"{s('Invoice')}({s('InvoiceDate')} BETWEEN '2009-01-01' AND '2022-01-31' "
        f"AND {s('BillingCountry')} IN ('Norway', 'Germany')) {{ {s('InvoiceId')} {s('Total')} }}",
        f"SELECT {q('InvoiceId')}, {q('Total')} FROM {q('Invoice')} "
        f"WHERE {q('InvoiceDate')} BETWEEN '2009-01-01' AND '2022-01-31' AND {q('BillingCountry')} IN ('Norway', 'Germany') ORDER BY 1",
    )


def _like(sample: Sample) -> str:
    """Case-sensitive LIKE in each source's SQL."""
    return {"sqlite": "GLOB '*Love*'", "mysql": "LIKE BINARY '%Love%'", "postgres": "LIKE '%Love%'"}[sample.kind]


def test_a_committed_change_is_seen_within_the_poll_interval(sample: Sample, plane: Plane) -> None:
    database = plane.register(f"fresh-{sample.kind}", sample.source, sample.schema)
    plane.act(database, "provision")
    plane.require_running(database)
    endpoint = Endpoint(plane.database(database)["endpointUrl"], plane.key(database))
    genre, name = sample.spell("Genre"), sample.spell("Name")
    quote = "`" if sample.kind == "mysql" else '"'

    sample.change(
        f"UPDATE {quote}{genre}{quote} SET {quote}{name}{quote} = 'Free Jazz' WHERE {quote}{name}{quote} = 'Jazz'"
    )

    wait_until(lambda: endpoint.query(f"{genre}({name} = 'Free Jazz') {{ {name} }}"), "the change is visible", 30)
    assert endpoint.query(f"{genre}({name} = 'Jazz') {{ {name} }}") == []
