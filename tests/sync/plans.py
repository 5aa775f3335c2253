"""Small plans for the tests of sync and deploy, without the build."""

from __future__ import annotations

from reflexdb.model.plan import Plan, PlannedColumn, PlannedTable
from reflexdb.model.schema import Backend
from reflexdb.model.storage import Storage


def column(name: str, storage: Storage, nullable: bool = True) -> PlannedColumn:
    return PlannedColumn(name, name, storage, storage.name.lower(), nullable)


def table(name: str, *columns: PlannedColumn, key: tuple[int, ...] = (0,)) -> PlannedTable:
    return PlannedTable(name, name, columns, primary_key=key)


def plan(*tables: PlannedTable) -> Plan:
    return Plan(Backend.SQLITE, "main", tables)


PEOPLE = table("people", column("id", Storage.I32, nullable=False), column("name", Storage.TEXT))
