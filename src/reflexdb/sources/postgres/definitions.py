"""The digest of all definitions of one schema, asked every few seconds over one connection that is kept.

Three questions, each asked only where the one before it has another answer: which transactions are visible, a sum over
the catalog's entries of the schema, and the whole description. On an idle server the first is all there is to ask.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from reflexdb.sources.base import SourceAddress
from reflexdb.sources.definitions import digest
from reflexdb.sources.postgres.connect import Place, find, translated
from reflexdb.sources.postgres.introspect import describe

VISIBLE = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text ELSE txid_current_snapshot()::text END"
"""On a primary, the transactions that are visible: where they are the same, so is the catalog."""
_SUM = """
    WITH n AS (SELECT oid, xmin, has_schema_privilege(oid, 'USAGE') AS readable FROM pg_namespace WHERE nspname = %s),
    c AS (SELECT c.oid, c.xmin FROM pg_class c JOIN n ON c.relnamespace = n.oid
          WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f'))
    SELECT count(*)::text, sum(hashtextextended(entry COLLATE "C", 0))::text FROM (
        SELECT concat_ws(' ', 'n', n.oid, n.xmin, n.readable) AS entry FROM n
        UNION ALL SELECT concat_ws(' ', 'c', c.oid, c.xmin, has_table_privilege(c.oid, 'SELECT')) FROM c
        UNION ALL SELECT concat_ws(' ', 'a', c.oid, a.attnum, a.xmin, has_column_privilege(c.oid, a.attnum, 'SELECT'))
            FROM c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL SELECT concat_ws(' ', 'i', i.indexrelid, i.xmin) FROM c JOIN pg_index i ON i.indrelid = c.oid
        UNION ALL SELECT concat_ws(' ', 'k', k.oid, k.xmin) FROM c JOIN pg_constraint k ON k.conrelid = c.oid
        UNION ALL SELECT concat_ws(' ', 't', t.oid, t.xmin) FROM pg_type t WHERE t.oid >= 16384
        UNION ALL SELECT concat_ws(' ', 'd', d.objoid, d.objsubid, d.xmin) FROM c JOIN pg_description d
            ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass
        UNION ALL SELECT concat_ws(' ', 'e', d.objid) FROM c JOIN pg_depend d
            ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e') AS entries"""


@dataclass(slots=True)
class _Kept:
    connection: psycopg.Connection[Any]
    place: Place
    visible: str | None = None
    sum: tuple[str, str] | None = None
    digest: str = ""


class KeptDefinitions:
    """Of one schema at a time. Safe to use from several threads."""

    def __init__(self, address: SourceAddress) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._schema = ""
        self._kept: _Kept | None = None

    def digest(self, schema: str) -> str:
        """After an error the next call begins with a new connection."""
        with self._lock, translated(self._address, f"looking at the definitions of schema {schema!r}"):
            if self._kept is None or self._schema != schema:
                self._drop()
                place, connection = find(self._address, schema)
                self._kept, self._schema = _Kept(connection, place), schema
            try:
                return self._asked(self._kept)
            except BaseException:
                self._drop()
                raise

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _asked(self, kept: _Kept) -> str:
        ((visible,),) = kept.connection.execute(f"SELECT {VISIBLE}").fetchall()
        if visible == kept.visible:
            return kept.digest
        (found,) = kept.connection.execute(_SUM, (kept.place.schema,)).fetchall()
        if found != kept.sum:
            kept.digest = digest(describe(kept.connection, kept.place.schema, self._schema))
        kept.visible, kept.sum = visible, found
        return kept.digest

    def _drop(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            with suppress(psycopg.Error):
                kept.connection.close()
