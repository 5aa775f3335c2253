"""Asks which tables the planned views are made of, through other views and other schemas.

A view's text is the server's canonical one, in which every table has its schema. Without SHOW VIEW the text is empty,
and a table or view that the user may not see is in no list: what a view is made of is then not known, and is None.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pymysql.connections import Connection

from reflexdb.model.plan import Plan
from reflexdb.sources.mysql.binlog.cascades import Name
from reflexdb.sources.mysql.binlog.client import columns_of
from reflexdb.sources.mysql.create_table import name_of, tokens

_VIEWS = "SELECT table_name, view_definition FROM information_schema.views WHERE table_schema = %s"
_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_type <> 'VIEW'"
_SCHEMAS = 32
"""In so many schemas at most is looked for what views are made of."""
_CLOCK = {"now", "curdate", "curtime", "current_timestamp", "localtimestamp", "sysdate", "unix_timestamp", "utc_date",
          "utc_time", "utc_timestamp", "rand", "uuid", "connection_id", "current_user", "user", "database"}  # fmt: skip
"""Functions whose value changes while no table does."""
_TABLE_COMES = {"FROM", "JOIN", "STRAIGHT_JOIN"}


def view_tables(connection: Connection[Any], plan: Plan) -> dict[Name, frozenset[Name] | None]:
    """The tables that each planned view is made of; None where they cannot all be seen."""
    definitions: dict[Name, str] = {}
    tables: set[Name] = set()
    schemas, seen = [plan.schema], {plan.schema}
    while schemas:
        schema = schemas.pop()
        tables |= {(schema, str(row[0])) for row in columns_of(connection, _TABLES, schema)}
        for view, definition in columns_of(connection, _VIEWS, schema):
            definitions[schema, view] = _text(definition or "")
            for name in mentioned(definitions[schema, view]):
                if name[0] not in seen and len(seen) < _SCHEMAS:
                    seen.add(name[0])
                    schemas.append(name[0])
    wanted = [(plan.schema, table.source_name) for table in plan.tables if table.is_view]
    return {name: _made_of(name, definitions, tables) for name in wanted}


def is_told_by_tables(definition: str) -> bool:
    """Whether a view changes only when the tables in its text do: it calls no clock and no stored function."""
    found = tokens(definition)
    for place, word in enumerate(found[1:], 1):
        before = found[place - 1]
        if word == "(" and (before.lower() in _CLOCK or before[0] == "`"):
            return False
    return True


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def mentioned(definition: str) -> set[Name]:
    """The tables and views of every FROM and JOIN in a view's canonical text."""
    return set(_mentioned(tokens(definition)))


def _mentioned(found: list[str]) -> Iterator[Name]:
    selects = [False]
    """For each open parenthesis, whether a SELECT stands in it: a function may have a FROM of its own."""
    expected = False
    for place, word in enumerate(found):
        upper = word.upper()
        if word == "(":
            selects.append(selects[-1] if expected else False)
            continue
        if word == ")":
            if len(selects) > 1:
                selects.pop()
        elif upper == "SELECT":
            selects[-1] = True
        elif expected and word[0] == "`" and found[place + 1 : place + 2] == ["."]:
            yield name_of(word), name_of(found[place + 2])
        expected = upper in _TABLE_COMES and selects[-1]


def _made_of(view: Name, definitions: dict[Name, str], tables: set[Name]) -> frozenset[Name] | None:
    made_of: set[Name] = set()
    waiting, seen = [view], {view}
    while waiting:
        definition = definitions.get(waiting.pop(), "")
        if not definition or not is_told_by_tables(definition):
            return None
        for name in mentioned(definition):
            made_of.add(name)
            if name not in definitions and name not in tables:
                return None
            if name in definitions and name not in seen:
                seen.add(name)
                waiting.append(name)
    return frozenset(made_of)
