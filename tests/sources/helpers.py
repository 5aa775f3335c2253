"""Short ways to say what the tests of all sources do: plan everything that is there, read it, look at one column."""

from __future__ import annotations

import uuid
from typing import Any

import pyarrow as pa

from reflexdb.model.plan import Plan, PlannedColumn, PlannedTable
from reflexdb.model.schema import Backend, SourceSchema, SourceTable
from reflexdb.sources import open_source
from reflexdb.sources.base import ARROW_TYPES, Source, SourceAddress
from tests.servers.plugin import TestDatabase


def mysql_address(database: TestDatabase, **changes: Any) -> SourceAddress:
    login: dict[str, Any] = {
        "host": database.host,
        "port": database.port,
        "user": database.user,
        "password": database.password,
    }
    return SourceAddress(Backend.MYSQL, **(login | changes))


def postgres_address(database: TestDatabase, **changes: Any) -> SourceAddress:
    login: dict[str, Any] = {
        "host": database.host,
        "port": database.port,
        "user": database.user,
        "password": database.password,
    }
    return SourceAddress(Backend.POSTGRES, **(login | changes))


def planned(table: SourceTable, where: str | None = None, only: tuple[str, ...] | None = None) -> PlannedTable:
    """Every supported column of the table (or those named), as a plan would have it."""
    columns = [
        PlannedColumn(column.name, column.name, column.storage, column.declared_type, column.nullable)
        for column in table.columns
        if column.storage is not None and (only is None or column.name in only)
    ]
    return PlannedTable(table.name, table.name, tuple(columns), where=where, is_view=table.is_view)


def plan_of(schema: SourceSchema) -> Plan:
    return Plan(schema.backend, schema.name, tuple(planned(table) for table in schema.tables))


def table_of(schema: SourceSchema, name: str) -> SourceTable:
    return next(table for table in schema.tables if table.name == name)


def read(source: Source, plan: Plan) -> dict[str, pa.Table]:
    """All rows of all planned tables, checked to be of the promised Arrow types."""
    tables = {}
    with source.snapshot(plan) as reader:
        for table in plan.tables:
            schema = pa.schema([(column.source_name, ARROW_TYPES[column.storage]) for column in table.columns])
            batches = list(reader.read(table))
            for batch in batches:
                assert batch.schema.equals(schema)
                batch.validate(full=True)
            tables[table.source_name] = pa.Table.from_batches(batches, schema)
    return tables


def rows(address: SourceAddress, schema: str) -> dict[str, pa.Table]:
    """All rows of everything in a schema."""
    source = open_source(address)
    try:
        return read(source, plan_of(source.introspect(schema)))
    finally:
        source.close()


def column(tables: dict[str, pa.Table], table: str, name: str) -> list[Any]:
    """A column's values: integers for dates and times, text for UUIDs, and Python's own otherwise."""
    array = tables[table].column(name).combine_chunks()
    if pa.types.is_timestamp(array.type):
        array = array.view(pa.int64())
    elif pa.types.is_date(array.type):
        array = array.view(pa.int32())
    elif pa.types.is_fixed_size_binary(array.type):
        return [None if value is None else str(uuid.UUID(bytes=value)) for value in array.to_pylist()]
    values: list[Any] = array.to_pylist()
    return values
