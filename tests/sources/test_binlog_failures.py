"""What a follower does when the server, the network or the grants fail: every case has its error, none is silent."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from reflexdb.model.errors import (
    InvalidRequest,
    PositionLost,
    SourceDenied,
    SourceError,
    SourceUnreachable,
)
from reflexdb.model.plan import Plan
from reflexdb.model.schema import Backend
from reflexdb.sources import open_source
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.changes import Follower, FollowOptions
from reflexdb.sources.mysql.binlog import client
from reflexdb.sources.mysql.binlog.follower import MySQLFollower
from reflexdb.sources.mysql.connect import connect
from reflexdb.sources.registry import follower
from tests.servers import mariadb
from tests.servers.issuer import certificate
from tests.servers.plugin import TestDatabase
from tests.servers.shared import Server
from tests.servers.spawn import spawn, unprivileged
from tests.sources.applying import drained, followed, keyed_plan
from tests.sources.helpers import mysql_address

TABLE = "CREATE TABLE t (id int PRIMARY KEY)"


@dataclass
class OwnServer:
    """A server of this module's own, since it is stopped and its log is purged."""

    home: Path
    process: subprocess.Popen[bytes]
    server: Server

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        with contextlib.closing(mariadb.connect(self.server)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = list(cursor.fetchall()) if cursor.description else []
        return rows

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(20)

    def start(self) -> None:
        assert isinstance(self.process.args, list)
        self.process = spawn(self.process.args, self.home / "log", unprivileged("mysql"), self.home)
        mariadb.wait(self.process, self.server, self.home / "log")

    @property
    def address(self) -> SourceAddress:
        return SourceAddress(Backend.MYSQL, self.server.host, self.server.port, self.server.user, self.server.password)

    def plan(self) -> Plan:
        self.execute("CREATE OR REPLACE DATABASE own", "USE own", TABLE)
        return keyed_plan(open_source(self.address).introspect("own"))


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnServer]:
    if mariadb.binary() is None:
        pytest.skip(mariadb.MISSING)
    home = Path(tempfile.mkdtemp(prefix="reflexdb-own-mariadb-"))
    try:
        pem = certificate(home)
        pem.chmod(0o644)
        process, server = mariadb.start(home, f"--ssl-cert={pem}", f"--ssl-key={pem}")
        own = OwnServer(home, process, server)
        yield own
        own.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def followed_by(address: SourceAddress) -> Follower:
    """A follower with a server id that another one has too."""
    found = follower(address, "any", FollowOptions("any", 123456))
    assert found is not None
    return found


def test_connections_are_encrypted_where_the_server_can(own_server: OwnServer) -> None:
    for _ in range(2):
        with contextlib.closing(connect(own_server.address)) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
            (_, cipher) = cursor.fetchone() or ("", "")

        assert cipher


def plan_of(database: TestDatabase) -> Plan:
    database.execute(TABLE)
    return keyed_plan(open_source(mysql_address(database)).introspect(database.schema))


def until_error(stream: Any, limit_s: float = 20) -> Exception:
    """The error that a stream ends with."""
    give_up = time.monotonic() + limit_s
    while time.monotonic() < give_up:
        try:
            stream.next(0.5)
        except Exception as error:
            return error
    raise AssertionError("the stream went on")


def test_a_restarted_server_is_unreachable_and_then_goes_on_where_the_stream_was(own_server: OwnServer) -> None:
    plan = own_server.plan()
    source = MySQLFollower(own_server.address)

    with followed(source, plan) as (applier, stream):
        own_server.execute("INSERT INTO own.t VALUES (1)")
        drained(stream, applier, lambda: (1,) in applier.tables[0])
        own_server.stop()
        error = until_error(stream)
        with pytest.raises(SourceUnreachable):
            source.stream(plan, applier.position)
        own_server.start()
        own_server.execute("INSERT INTO own.t VALUES (2)")
        with contextlib.closing(source.stream(plan, applier.position)) as again:
            drained(again, applier, lambda: (2,) in applier.tables[0])

    assert isinstance(error, SourceUnreachable)
    assert len(applier.commits) == 2


def test_a_purged_log_loses_the_position(own_server: OwnServer) -> None:
    plan = own_server.plan()
    source = MySQLFollower(own_server.address)
    with source.snapshot(plan) as reader:
        position = reader.position
    own_server.execute("INSERT INTO own.t VALUES (1)", "FLUSH BINARY LOGS", "INSERT INTO own.t VALUES (2)")
    own_server.execute("FLUSH BINARY LOGS")
    newest = own_server.execute("SHOW BINARY LOGS")[-1][0]
    give_up = time.monotonic() + 20
    while len(own_server.execute("SHOW BINARY LOGS")) > 1:  # a file that some stream was reading is kept a while
        assert time.monotonic() < give_up
        own_server.execute(f"PURGE BINARY LOGS TO '{newest}'")
        time.sleep(0.05)

    with pytest.raises(PositionLost, match="purged"):
        source.stream(plan, position)


def test_a_server_that_began_its_history_anew_loses_the_position(own_server: OwnServer) -> None:
    plan = own_server.plan()
    source = MySQLFollower(own_server.address)
    own_server.execute("INSERT INTO own.t VALUES (1)")
    with source.snapshot(plan) as reader:
        position = reader.position
    own_server.execute("RESET MASTER")

    with pytest.raises(PositionLost):
        source.stream(plan, position)


def test_a_server_without_any_gtid_yet_can_be_followed(own_server: OwnServer) -> None:
    plan = own_server.plan()
    own_server.execute("RESET MASTER")
    source = MySQLFollower(own_server.address)

    with followed(source, plan) as (applier, stream):
        begun = applier.position
        own_server.execute("INSERT INTO own.t VALUES (1)")
        drained(stream, applier, lambda: (1,) in applier.tables[0])

        assert source.reached(applier.position, begun)
        assert not source.reached(begun, applier.position)


def test_several_domains_are_one_position(own_server: OwnServer) -> None:
    plan = own_server.plan()
    source = MySQLFollower(own_server.address)

    with followed(source, plan) as (applier, stream):
        own_server.execute("SET SESSION gtid_domain_id = 7", "INSERT INTO own.t VALUES (1)")
        own_server.execute("SET SESSION gtid_domain_id = 3", "INSERT INTO own.t VALUES (2)")
        drained(stream, applier, lambda: len(applier.tables[0]) == 2)
        with source.snapshot(plan) as reader:
            assert reader.position == applier.position
        assert source.reached(applier.position, "7-4711-1")
        assert not source.reached(applier.position, "7-4711-2")
        with contextlib.closing(source.stream(plan, applier.position)) as again:
            own_server.execute("INSERT INTO own.t VALUES (3)")
            drained(again, applier, lambda: (3,) in applier.tables[0])


@pytest.mark.parametrize("position", ["", "nonsense", "0-1", "0-1-x", "uuid:1-5", "0-4294967296-1", "a.b:c"])
def test_text_that_is_no_position_is_refused(mariadb_database: TestDatabase, position: str) -> None:
    source = MySQLFollower(mysql_address(mariadb_database))

    with pytest.raises(InvalidRequest):
        source.reached("0-1-5", position)
    with pytest.raises(InvalidRequest):
        source.stream(Plan(Backend.MYSQL, mariadb_database.schema, ()), position)


@pytest.mark.parametrize("position", ["0-4711-99999999", "0-9-3"])
def test_a_position_the_server_does_not_know_is_lost(mariadb_database: TestDatabase, position: str) -> None:
    plan = plan_of(mariadb_database)
    source = MySQLFollower(mysql_address(mariadb_database))

    with pytest.raises(PositionLost):
        source.stream(plan, position)


def test_a_wrong_password_is_denied(mariadb_database: TestDatabase) -> None:
    plan = plan_of(mariadb_database)
    source = MySQLFollower(replace(mysql_address(mariadb_database), password="wrong"))

    with pytest.raises(SourceDenied) as caught:
        source.stream(plan, "0-4711-1")
    assert "wrong" not in caught.value.message
    with pytest.raises(SourceDenied):
        source.preflight(plan)


def test_a_killed_connection_is_unreachable(mariadb_database: TestDatabase) -> None:
    plan = plan_of(mariadb_database)
    source = MySQLFollower(mysql_address(mariadb_database))

    with followed(source, plan) as (_, stream):
        thread = stream._client._connection.thread_id()  # type: ignore[attr-defined] # the server's name of it
        mariadb_database.execute("KILL %s", thread)
        error = until_error(stream)

    assert isinstance(error, SourceUnreachable)


def test_another_reader_with_our_server_id_is_told(mariadb_database: TestDatabase) -> None:
    plan = plan_of(mariadb_database)
    address = mysql_address(mariadb_database)
    one = followed_by(address)
    two = followed_by(address)

    with followed(one, plan) as (_, stream), followed(two, plan):
        error = until_error(stream)

    assert isinstance(error, SourceError)
    assert "binlogServerId" in error.message


def test_a_server_that_says_nothing_is_given_up(
    mariadb_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(mariadb_database)
    source = MySQLFollower(mysql_address(mariadb_database))

    with followed(source, plan) as (_, stream):  # heartbeats every 5 s, silence from 0.5 s on: the server is too slow
        monkeypatch.setattr(client, "SILENCE_S", 0.5)
        error = until_error(stream)

    assert isinstance(error, SourceUnreachable)


def test_heartbeats_keep_an_idle_stream_alive(mariadb_database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(mariadb_database)
    monkeypatch.setattr(client, "HEARTBEAT_S", 0.1)
    source = MySQLFollower(mysql_address(mariadb_database))

    with followed(source, plan) as (_, stream):
        monkeypatch.setattr(client, "SILENCE_S", 1.0)
        give_up = time.monotonic() + 2.5
        while time.monotonic() < give_up:
            event = stream.next(0.2)
            assert event is None or type(event).__name__ == "Commit"  # of other tests on this server


GRANTS = {
    "REPLICATION SLAVE": "GRANT REPLICATION SLAVE ON *.*",
    "BINLOG MONITOR": "GRANT BINLOG MONITOR ON *.*",
    "SELECT": "GRANT SELECT ON",
}


@pytest.fixture
def poor_user(mariadb_database: TestDatabase) -> Iterator[str]:
    name = f"u_{mariadb_database.schema[2:]}"
    mariadb_database.execute(f"CREATE USER {name}@'%' IDENTIFIED BY 'pw'")
    yield name
    mariadb_database.execute(f"DROP USER {name}@'%'")


@pytest.mark.parametrize("missing", [*GRANTS, None])
def test_each_missing_grant_is_named_with_the_statement_that_mends_it(
    mariadb_database: TestDatabase, poor_user: str, missing: str | None
) -> None:
    plan = plan_of(mariadb_database)
    schema = mariadb_database.schema
    for grant in GRANTS:
        where = f"{schema}.*" if grant == "SELECT" else "*.*"
        if grant == missing:
            grant, where = ("INSERT", where) if grant == "SELECT" else ("USAGE", where)
        mariadb_database.execute(f"GRANT {grant} ON {where} TO {poor_user}@'%'")
    source = MySQLFollower(mysql_address(mariadb_database, user=poor_user, password="pw"))

    found = source.preflight(plan)

    if missing is None:
        assert found == ()
        with followed(source, plan) as (applier, stream):
            mariadb_database.execute("INSERT INTO t VALUES (1)")
            drained(stream, applier, lambda: (1,) in applier.tables[0])
        return
    assert len(found) == 1
    statement = found[0].split("Run: ")[1]
    assert GRANTS[missing] in statement
    mariadb_database.execute(statement.rstrip(";"))
    assert source.preflight(plan) == ()


@pytest.mark.parametrize(
    ("variable", "value", "good"),
    [("binlog_format", "MIXED", "ROW"), ("binlog_row_image", "MINIMAL", "FULL")],
)
def test_each_wrong_setting_is_named_with_the_statement_that_mends_it(
    own_server: OwnServer, variable: str, value: str, good: str
) -> None:
    plan = own_server.plan()
    own_server.execute(f"SET GLOBAL {variable} = '{value}'")
    try:
        found = MySQLFollower(own_server.address).preflight(plan)
        statement = found[0].split("Run: ")[1].split(";")[0]
        own_server.execute(statement)
        mended = MySQLFollower(own_server.address).preflight(plan)
    finally:
        own_server.execute(f"SET GLOBAL {variable} = '{good}'")

    assert len(found) == 1
    assert variable in found[0]
    assert mended == ()


def test_a_server_whose_log_lacks_changes_is_refused(own_server: OwnServer) -> None:
    plan = own_server.plan()
    source = MySQLFollower(own_server.address)
    assert isinstance(own_server.process.args, list)
    usual = own_server.process.args
    own_server.stop()
    own_server.process.args = [*usual, "--binlog-ignore-db=scratch"]
    own_server.start()
    own_server.execute("RESET MASTER", "SET GLOBAL gtid_slave_pos = '5-5-5'")
    try:
        found = source.preflight(plan)
    finally:
        own_server.execute("SET GLOBAL gtid_slave_pos = ''")
        own_server.stop()
        own_server.process.args = usual
        own_server.start()

    assert "binlog_ignore_db = scratch" in found[0]
    assert "log_slave_updates" in found[1]
    assert source.preflight(plan) == ()


def test_what_is_worth_knowing_is_a_warning_and_stops_nothing(own_server: OwnServer) -> None:
    plan = own_server.plan()
    own_server.execute("CREATE TABLE own.keyless (a int)", "CREATE TABLE own.old (a int PRIMARY KEY) ENGINE = MyISAM")
    plan = keyed_plan(open_source(own_server.address).introspect("own"))
    own_server.execute("SET GLOBAL binlog_row_metadata = 'NO_LOG'", "SET GLOBAL binlog_expire_logs_seconds = 3600")
    try:
        source = MySQLFollower(own_server.address)
        blockers, warnings = source.preflight(plan), source.warnings(plan)
    finally:
        own_server.execute("SET GLOBAL binlog_row_metadata = 'FULL'", "SET GLOBAL binlog_expire_logs_seconds = 0")

    assert blockers == ()
    assert [word for word in ("binlog_row_metadata", "3600 s", "'keyless'", "'old'") if word not in str(warnings)] == []


def test_the_servers_own_id_is_refused(mariadb_database: TestDatabase) -> None:
    plan = plan_of(mariadb_database)
    source = MySQLFollower(mysql_address(mariadb_database), 4711)

    assert "binlogServerId" in source.preflight(plan)[0]
    for bad in (0, -1, 1 << 32):
        with pytest.raises(InvalidRequest):
            MySQLFollower(mysql_address(mariadb_database), bad)
