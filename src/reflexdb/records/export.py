"""The records as lines of JSON, table by table, and back: the same for SQLite and PostgreSQL, so that either can be
restored into the other.

Used by backup and restore. Tables and their types are read from the database itself, so that an old backup is loaded
into the schema it was made with, and migrated from there. Who works now (`TRANSIENT`) and where is left out.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import JSON, LargeBinary, MetaData, Table, insert, null, select
from sqlalchemy import Connection as Tx

from reflexdb.records.tables import TRANSIENT, site

_LEFT_OUT = {"alembic_version", site.name, *(table.name for table in TRANSIENT)}
_BATCH = 1000


def tables(tx: Tx) -> list[Table]:
    """Those that a backup holds, as they are in this database; each after what it refers to."""
    found = MetaData()
    found.reflect(bind=tx, only=lambda name, _: name not in _LEFT_OUT)
    return found.sorted_tables


def lines(tx: Tx, table: Table) -> Iterator[bytes]:
    """The columns' names, then each row."""
    yield _line([column.name for column in table.columns])
    rows = tx.execution_options(yield_per=_BATCH).execute(select(table))
    for row in rows:
        yield _line([b64encode(each).decode("ascii") if isinstance(each, bytes) else each for each in row])


def load(tx: Tx, table: Table, content: Iterable[bytes]) -> int:
    """Put lines into an empty table; how many rows. Raises ValueError or KeyError for lines of another table."""
    given = iter(content)
    columns = [table.columns[name] for name in json.loads(next(given))]
    count, batch = 0, []
    for line in given:
        values = json.loads(line)
        if len(values) != len(columns):
            raise ValueError(f"a row of {table.name} has {len(values)} columns instead of {len(columns)}")
        batch.append({column.name: _stored(column.type, value) for column, value in zip(columns, values, strict=True)})
        if len(batch) == _BATCH:
            tx.execute(insert(table), batch)
            count, batch = count + len(batch), []
    if batch:
        tx.execute(insert(table), batch)
    return count + len(batch)


def continue_numbers(tx: Tx, loaded: Iterable[Table]) -> None:
    """Let PostgreSQL number on from where the rows end; SQLite does so by itself."""
    if tx.dialect.name != "postgresql":
        return
    for table in loaded:
        for column in table.primary_key.columns:
            if column.type.python_type is int:
                name = {"table": table.name, "column": column.name}
                last = tx.execute(select(column).order_by(column.desc()).limit(1)).scalar()
                _set_sequence(tx, name, last or 0)


def _set_sequence(tx: Tx, name: Mapping[str, str], last: int) -> None:
    sequence = tx.exec_driver_sql("SELECT pg_get_serial_sequence(%(table)s, %(column)s)", dict(name)).scalar()
    if sequence is not None:
        tx.exec_driver_sql("SELECT setval(%(name)s, %(next)s, false)", {"name": sequence, "next": last + 1})


def _line(values: list[Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _stored(kind: Any, value: Any) -> Any:
    if value is None:
        return null() if isinstance(kind, JSON) else None
    return b64decode(value, validate=True) if isinstance(kind, LargeBinary) else value
