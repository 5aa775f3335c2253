"""What the tables of the metadata database are made of: the column types and the rules that several have.

Used by `tables` alone, and by what stores times of its own. Both kinds of database are met here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    Text,
    TypeDecorator,
    cast,
    event,
    func,
    select,
    type_coerce,
)

from reflexdb.records.triggers import only_added_to

metadata = MetaData()


class UtcTime(TypeDecorator[datetime]):
    """An instant with microseconds, stored as `2026-04-15T12:00:00.000000Z`."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        if value is None:
            return None
        assert value.tzinfo is not None, "a time without a zone must not be stored"
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else datetime.fromisoformat(value)


Large = BigInteger().with_variant(Integer, "sqlite")
"""SQLite's INTEGER has 64 bits; PostgreSQL's has 32."""


BETWEEN_ROWS = "\x1e"
"""The record separator, as JSON text sequences have it (RFC 7464): no JSON text has one in it."""


def rows_as_json(tx: Connection, query: Select[Any]) -> str:
    """The rows, in their order, each as a JSON array, with BETWEEN_ROWS between them, put together by the database.

    Thousands of rows that are only compared with others need no Python value for each of their columns. The order of a
    subquery is kept by both databases where what is made of it depends on order.
    """
    rows = query.subquery("rows")
    if tx.dialect.name == "sqlite":
        whole: ColumnElement[Any] = func.group_concat(func.json_array(*rows.c), BETWEEN_ROWS)
    else:
        whole = func.string_agg(cast(func.json_build_array(*rows.c), Text), BETWEEN_ROWS)
    text: str | None = tx.execute(select(type_coerce(whole, String)).select_from(rows)).scalar()
    return text or ""


def unique_among(where: ColumnElement[bool], name: str, *columns: Column[Any]) -> None:
    """An index that allows each value once among the rows for which `where` holds."""
    Index(name, *columns, unique=True, sqlite_where=where, postgresql_where=where)


def row_id() -> Column[str]:
    return Column("id", String(36), primary_key=True)


def refers(name: str, target: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, String(36), ForeignKey(f"{target}.id"), nullable=nullable)


def time(name: str, *, nullable: bool = False) -> Column[datetime]:
    return Column(name, UtcTime, nullable=nullable)


def only_added(table: Table) -> None:
    """The database itself refuses to change or remove a row."""
    for dialect, statements in only_added_to(table.name).items():
        for statement in statements:
            ddl = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
            event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


def origin_and_error() -> list[Column[str]]:
    """Who asked, and where it went wrong: null in what was written before these were kept."""
    return [
        Column("trigger", String(20)),
        Column("key_id", String(32)),
        Column("key_name", Text),
        Column("error_code", String(40)),
        Column("error_step", Text),
    ]
