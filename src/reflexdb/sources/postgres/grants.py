"""The rights that a PostgreSQL user needs, as the statements that give them: what the documentation prints and what the
tests run as. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reflexdb.sources.postgres.connect import quoted
from reflexdb.sources.postgres.publication import OWNERS_PUBLICATION


@dataclass(frozen=True, slots=True)
class Grant:
    statement: str
    """With `{user}`, `{database}`, `{schema}` and `{tables}`, each in the form that SQL wants."""
    why: str


READING = (
    Grant("GRANT CONNECT ON DATABASE {database} TO {user}", "every user has it unless it was revoked"),
    Grant("GRANT USAGE ON SCHEMA {schema} TO {user}", "to see the tables"),
    Grant("GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user}", "to read them"),
    Grant("ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {user}", "those made later, too"),
)
"""For a source that is polled. Run as the owner of the tables."""
FOLLOWING = (
    Grant("ALTER USER {user} REPLICATION", "to read the stream of changes; a superuser gives it"),
    Grant("GRANT CREATE ON DATABASE {database} TO {user}", "without it nobody can own a publication"),
    Grant(
        f"CREATE PUBLICATION {OWNERS_PUBLICATION} FOR TABLE {{tables}} WITH (publish_via_partition_root = true)",
        "only the owner of a table can publish it",
    ),
    Grant(
        f"ALTER PUBLICATION {OWNERS_PUBLICATION} OWNER TO {{user}}",
        "so that ReflexDB can take a table out before PostgreSQL refuses its writes",
    ),
)
"""Beside those for reading, for a source that is followed."""


def statements(grants: Iterable[Grant], user: str, database: str, schema: str, tables: Iterable[str] = ()) -> list[str]:
    """The grants for one user."""
    names = {
        "user": quoted(user),
        "database": quoted(database),
        "schema": quoted(schema),
        "tables": ", ".join(f"{quoted(schema)}.{quoted(table)}" for table in tables),
    }
    return [grant.statement.format(**names) for grant in grants]


def markdown() -> str:
    """For the documentation."""
    names = {"user": "reflexdb_reader", "database": "shop", "schema": "public", "tables": "public.orders, public.users"}
    lines = [(f"{grant.statement.format(**names)};", grant.why) for grant in (*READING, *FOLLOWING)]
    return "\n".join(["```sql", *(f"{statement}  -- {why}" for statement, why in lines), "```"])
