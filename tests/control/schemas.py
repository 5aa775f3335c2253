"""Two metadata databases compared: everything that their catalogues say of tables, indexes, triggers and functions."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, create_engine

_POSTGRESQL = """
    SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
    UNION ALL SELECT tablename, indexname, indexdef, NULL, NULL, NULL
    FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), NULL, NULL, NULL
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
    UNION ALL SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), NULL, NULL, NULL
    FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT proname, 'function', pg_get_functiondef(oid), NULL, NULL, NULL
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


def address(where: Path | URL) -> URL:
    return URL.create("sqlite", database=str(where)) if isinstance(where, Path) else where


def schema(where: Path | URL) -> set[tuple[str, ...]]:
    """Every object with its clauses, in an order that does not depend on when a column was added."""
    engine = create_engine(address(where))
    with engine.connect() as connection:
        if not isinstance(where, Path):
            rows = connection.exec_driver_sql(_POSTGRESQL).fetchall()
            found = {tuple(str(each) for each in row) for row in rows}
        else:
            texts = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").scalars().all()
            found = {_clauses(text) for text in texts if "alembic_version" not in text}
    engine.dispose()
    return found


@contextmanager
def declared(tmp_path: Path, like: Path | URL) -> Iterator[Path | URL]:
    """A second, empty database of the same kind."""
    if isinstance(like, Path):
        yield tmp_path / "declared.db"
        return
    name = f"r_{uuid.uuid4().hex[:12]}"
    admin = create_engine(like, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield like.set(database=name)
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()


def _clauses(statement: str) -> tuple[str, ...]:
    """That of foreign keys is not fixed, and a column that was added later stands behind a comma of another spacing."""
    text = re.sub(r"\s+", " ", statement).removesuffix(")").strip()
    return tuple(sorted(re.split(r"\s*,\s", text)))
