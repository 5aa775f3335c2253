"""The source's own answer to a question, as the JSON that a query should give.

The acceptance tests ask the source in SQL and the instance in the query language, and compare. Numbers compare by value
with every digit (the query's side is parsed to Decimal); a float of the source is its shortest text.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any


def json_value(value: Any, declared: str = "") -> Any:
    """A driver's value as query-language.md says it in JSON; `declared` helps where SQLite stores times as text."""
    match value:
        case float():
            return Decimal(repr(value))
        case bytes():
            return base64.b64encode(value).decode()
        case dt.datetime():
            return _datetime(value)
        case dt.date():
            return value.isoformat()
        case str() if declared.upper().startswith(("DATETIME", "TIMESTAMP")):
            return _datetime(dt.datetime.fromisoformat(value))
        case _:
            return value


def _datetime(value: dt.datetime) -> str:
    zone = "" if value.tzinfo is None else "Z"
    moment = value if value.tzinfo is None else value.astimezone(dt.UTC).replace(tzinfo=None)
    fraction = f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction + zone


def objects(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], declared: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Rows of a cursor as the objects of an answer."""
    kinds = list(declared) or [""] * len(columns)
    return [
        {name: json_value(value, kind) for name, value, kind in zip(columns, row, kinds, strict=True)} for row in rows
    ]
