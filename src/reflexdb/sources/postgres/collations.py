"""Which texts PostgreSQL takes for equal though their bytes differ: by their type, or by a collation.

citext compares what `lower` gives, which the server is asked for; character(n) takes no account of blanks at the end.
A collation that is not deterministic can't be asked for what it compares, and is not described.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import psycopg

from reflexdb.model.folding import Folding, folding
from reflexdb.sources.postgres.types import PgType, base_of

_CITEXT, _BPCHAR = "citext", "bpchar"
_LOWER = """
    SELECT n, lower(chr(n)) FROM generate_series(1, 1114111) n
    WHERE n NOT BETWEEN 55296 AND 57343 AND lower(chr(n)) <> chr(n) COLLATE "C"
"""


def collation_of(oid: int, types: dict[int, PgType], collation: str | None) -> str:
    """By what a text column compares; `collation` is its own if that is not deterministic. Empty: by bytes."""
    name = base_of(oid, types).name
    if name == _CITEXT:
        return _CITEXT
    return collation or (_BPCHAR if name == _BPCHAR else "")


def foldings(connection: psycopg.Connection[Any], collations: Collection[str]) -> tuple[Folding, ...]:
    """Those that can be described exactly."""
    found = []
    if _BPCHAR in collations:
        found.append(Folding(_BPCHAR, pads=True))
    if _CITEXT in collations and connection.info.parameter_status("server_encoding") == "UTF8":
        given = {number: tuple(map(ord, lower)) for number, lower in connection.execute(_LOWER).fetchall()}
        found.append(folding(_CITEXT, given, pads=False))
    return tuple(found)
