"""What happens to the source's server: another takes over, its log is gone, a slot is given up, a password changes."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reflexdb.model.schema import Backend
from reflexdb.sources.base import SourceAddress
from tests.following.conftest import Follow
from tests.following.place import Place, wait
from tests.servers import mariadb, postgres
from tests.servers.plugin import TestDatabase
from tests.servers.shared import Server

RESUME = "version: 1\nsync:\n  cdc_reconnect_mode: resume\n"
TABLE = "CREATE TABLE items (id int PRIMARY KEY, n int)"
Own = Callable[..., tuple[Any, Server]]


@pytest.fixture
def own() -> Iterator[Own]:
    """Servers of the test's own, to be killed and misconfigured."""
    started: list[tuple[Any, Path]] = []

    def start(module: Any, *options: str, **settings: str) -> tuple[Any, Server]:
        if (module.binary if module is mariadb else module.programs)() is None:
            pytest.skip(module.MISSING)
        home = Path(tempfile.mkdtemp(prefix="reflexdb-own-"))
        process, server = module.start(home, *options, **settings)
        started.append((process, home))
        return process, server

    yield start
    for process, home in started:
        process.kill()
        process.wait(20)
        shutil.rmtree(home, ignore_errors=True)


def database(module: Any, server: Server, name: str) -> TestDatabase:
    def connect(**options: Any) -> Any:
        return module.connect(server, name, **options)

    return TestDatabase(server.host, server.port, server.user, server.password, name, server.socket, connect)


def run(server: Server, *statements: str) -> Any:
    with contextlib.closing(mariadb.connect(server)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None


def replicate(primary: Server, replica: Server) -> None:
    """From here on."""
    run(primary, "CREATE USER repl@'%' IDENTIFIED BY 'repl'", "GRANT REPLICATION SLAVE ON *.* TO repl@'%'")
    ((position,),) = run(primary, "SELECT @@gtid_binlog_pos")
    run(
        replica,
        "RESET MASTER",
        f"SET GLOBAL gtid_slave_pos = '{position}'",
        f"CHANGE MASTER TO master_host = '127.0.0.1', master_port = {primary.port}, master_user = 'repl', "
        "master_password = 'repl', master_use_gtid = slave_pos",
        "START SLAVE",
    )


def loads(place: Place) -> int:
    """How often everything was read."""
    return len(place.log("swapped"))


def test_a_replica_that_takes_over_is_followed_from_the_same_position(follow: Follow, own: Own) -> None:
    process, primary = own(mariadb)
    _, replica = own(mariadb, "--server-id=4712", "--log-slave-updates=ON")
    replicate(primary, replica)
    run(primary, "CREATE DATABASE shop")
    place = follow((Backend.MYSQL, database(mariadb, primary, "shop")), TABLE, config=RESUME)
    place.execute("INSERT INTO items VALUES (1, 1), (2, 2)")
    place.check()
    place.cut.stall()
    place.execute("UPDATE items SET n = 20 WHERE id = 2")  # which only the replica will tell
    ((position,),) = run(primary, "SELECT @@gtid_binlog_pos")
    wait(lambda: run(replica, f"SELECT MASTER_GTID_WAIT('{position}', 1)") == ((0,),), "the replica has it")
    process.kill()
    process.wait(20)

    run(replica, "STOP SLAVE", "RESET SLAVE ALL")
    place.cut.lead_to(replica.host, replica.port)
    place.cut.heal()
    place.database = database(mariadb, replica, "shop")
    place.direct = SourceAddress(Backend.MYSQL, replica.host, replica.port, replica.user, replica.password)
    place.execute("INSERT INTO items VALUES (3, 3)")
    place.check()

    assert loads(place) == 1


def test_an_event_that_is_larger_than_the_servers_packet_is_in_nobodys_way(follow: Follow, own: Own) -> None:
    """MariaDB can't tell the GTIDs of a place behind it in the same file."""
    _, server = own(mariadb, "--max-allowed-packet=1M")
    run(server, "CREATE DATABASE shop")
    big = "INSERT INTO big VALUES (1, repeat('x', 700000), 'y')", "UPDATE big SET b = repeat('z', 700000)"
    source = Backend.MYSQL, database(mariadb, server, "shop")
    place = follow(source, "CREATE TABLE big (id int PRIMARY KEY, a longtext, b longtext)", TABLE, *big)
    file, offset = run(server, "SHOW MASTER STATUS")[0][:2]
    assert run(server, f"SELECT BINLOG_GTID_POS('{file}', {offset})") == ((None,),)
    place.execute("INSERT INTO items VALUES (1, 1)", "UPDATE big SET b = 'c'")
    place.check()
    place.order("reload")
    place.execute("INSERT INTO items VALUES (2, 2)", "UPDATE big SET a = repeat('a', 600000), b = repeat('b', 600000)")
    place.check()


def test_a_log_that_is_gone_costs_one_reload_and_the_old_rows_serve_meanwhile(follow: Follow, own: Own) -> None:
    _, server = own(mariadb)
    run(server, "CREATE DATABASE shop")
    place = follow((Backend.MYSQL, database(mariadb, server, "shop")), TABLE, config=RESUME)
    place.execute("INSERT INTO items VALUES (1, 1)")
    place.check()
    place.kill()
    place.execute("INSERT INTO items VALUES (2, 2)", "FLUSH BINARY LOGS", "INSERT INTO items VALUES (3, 3)")
    ((last, *_), *_) = reversed(run(server, "SHOW BINARY LOGS"))
    wait(lambda: run(server, f"PURGE BINARY LOGS TO '{last}'", "SHOW BINARY LOGS")[0][0] == last, "it is purged")

    assert place.ask("items { id }") == [{"id": 1}]
    place.start()
    place.check()
    assert place.log("position_lost")
    wait(lambda: loads(place) == 2, "everything was read once more")


def test_a_slot_that_was_given_up_costs_one_reload_and_is_made_anew(follow: Follow, own: Own) -> None:
    _, server = own(postgres, max_slot_wal_keep_size="1MB", max_wal_size="32MB", min_wal_size="32MB")
    with postgres.connect(server) as admin:
        admin.execute("CREATE DATABASE shop")
    place = follow((Backend.POSTGRES, database(postgres, server, "shop")), TABLE, config=RESUME)
    place.execute("INSERT INTO items VALUES (1, 1)")
    place.check()
    place.kill()
    state = "SELECT wal_status FROM pg_replication_slots"

    def is_lost() -> bool:
        place.execute("INSERT INTO items VALUES (2, 2) ON CONFLICT (id) DO UPDATE SET n = items.n + 1")
        place.execute("SELECT pg_switch_wal()", "CHECKPOINT")
        return bool(place.database.execute(state) == [("lost",)])

    wait(is_lost, "the slot is lost")
    place.start()
    place.check()

    assert place.log("position_lost")
    assert place.database.execute(state) == [("reserved",)]
    place.execute("INSERT INTO items VALUES (9, 9)")
    place.check()


def test_a_changed_password_is_told_and_the_old_rows_serve(follow: Follow, source: tuple[Backend, Any]) -> None:
    backend, found = source
    user = f"reader_{found.schema}"
    if backend is Backend.MYSQL:
        made = (f"CREATE USER {user}@'%' IDENTIFIED BY 'one'", f"GRANT ALL ON *.* TO {user}@'%'")
        change, gone = f"ALTER USER {user}@'%' IDENTIFIED BY 'two'", f"DROP USER {user}@'%'"
    else:
        made = (f"CREATE ROLE {user} SUPERUSER LOGIN PASSWORD 'one'",)
        change, gone = f"ALTER ROLE {user} PASSWORD 'two'", f"DROP ROLE {user}"
    try:
        place = follow((backend, replace(found, user=user, password="one")), *made, TABLE, config=RESUME)
        place.execute("INSERT INTO items VALUES (1, 1)")
        wait(lambda: place.ask("items { id }") == [{"id": 1}], "the insert")
        place.execute(change)
        place.cut.cut()
        place.cut.mend()
        wait(lambda: "source_denied" in (place.health().get("lastError") or ""), "the reason is told")
        assert place.ask("items { id }") == [{"id": 1}]
        assert "'two'" not in str(place.log())
        place.execute(change.replace("two", "one"), "INSERT INTO items VALUES (2, 2)")
        wait(lambda: place.ask("items { id }") == [{"id": 1}, {"id": 2}], "it goes on by itself")
        place.close()
    finally:
        found.execute(gone)
