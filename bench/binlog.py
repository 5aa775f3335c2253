"""How many row changes a second one core decodes from MariaDB's binary log, and what a small transaction costs.

`python -m bench.binlog` starts a private server, writes changes, takes their events from its log first and then
measures the decoding alone, in CPU time: network and server are left out, since they have cores of their own.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from pathlib import Path

from tests.servers import mariadb

from bench import processes
from reflexdb.model.plan import Plan, PlannedColumn, PlannedTable
from reflexdb.model.schema import Backend
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.changes import Commit, Rows
from reflexdb.sources.mysql.binlog.catalog import Catalog, catalog
from reflexdb.sources.mysql.binlog.client import BinlogClient, Dump
from reflexdb.sources.mysql.binlog.gtid import parse
from reflexdb.sources.mysql.binlog.tables import Watch
from reflexdb.sources.mysql.binlog.transactions import Transactions
from reflexdb.sources.mysql.connect import connect
from reflexdb.sources.mysql.introspect import introspect

ROWS, SMALL = 100_000, 5_000
TABLE = "CREATE TABLE bench.t (id int PRIMARY KEY, name varchar(60), price decimal(10,2), made datetime, n bigint)"
LARGE = (
    f"INSERT INTO bench.t SELECT seq, concat('name of ', seq), seq / 7, now(), seq FROM bench.seq_1_to_{ROWS}",
    "UPDATE bench.t SET n = n + 1",
    "DELETE FROM bench.t WHERE id > 1",
)


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="reflexdb-bench-"))
    process, server = mariadb.start(home)
    try:
        address = SourceAddress(Backend.MYSQL, server.host, server.port, server.user, server.password)
        print(f"{processes.machine()}; five columns: int, varchar, decimal, datetime, bigint")
        plan, described = prepare(address)
        for name, statements in (("three large transactions", LARGE), ("small transactions", small())):
            changes, commits, seconds = measure(address, plan, described, statements)
            rate = changes / seconds
            print(f"{name}: {changes:,} row changes, {commits:,} commits, {rate:,.0f} changes a CPU second")
    finally:
        process.kill()
        process.wait(20)
        shutil.rmtree(home, ignore_errors=True)


def small() -> tuple[str, ...]:
    return tuple(f"UPDATE bench.t SET n = {number} WHERE id = 1" for number in range(2, SMALL + 2))


def prepare(address: SourceAddress) -> tuple[Plan, Catalog]:
    with contextlib.closing(connect(address)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE bench")
        cursor.execute(TABLE)
        table = introspect(connection, "bench").tables[0]
        columns = tuple(
            PlannedColumn(column.name, column.name, column.storage, column.declared_type, column.nullable)
            for column in table.columns
            if column.storage is not None
        )
        plan = Plan(Backend.MYSQL, "bench", (PlannedTable("t", "t", columns, primary_key=(0,)),))
        return plan, catalog(connection, plan)


def measure(
    address: SourceAddress, plan: Plan, described: Catalog, statements: tuple[str, ...]
) -> tuple[int, int, float]:
    """Row changes, commits, and the CPU seconds that decoding them took."""
    with contextlib.closing(connect(address)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@GLOBAL.gtid_binlog_pos")
        row = cursor.fetchone()
        assert row is not None
        for statement in statements:
            cursor.execute(statement)
    position = parse(str(row[0]))
    client = BinlogClient(address, Dump(4_000_000_000, True, ""), position)
    events = []
    while (event := client.next(2.0)) is not None:
        events.append(event)
    client.close()
    transactions = Transactions(Watch(plan, described, lambda: described), position, {})
    changes = commits = 0
    started = time.process_time()
    for data in events:
        for change in transactions.take(data):
            if isinstance(change, Rows):
                changes += len(change.ops)
            commits += isinstance(change, Commit)
    return changes, commits, time.process_time() - started


if __name__ == "__main__":
    main()
