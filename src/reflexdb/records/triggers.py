"""Rules that the database itself keeps, in the words of both kinds; for tables and migrations.

Frozen: a migration of long ago must go on making what it made then. A new rule is a new function.
"""

from __future__ import annotations


def only_added_to(table: str) -> dict[str, list[str]]:
    """By dialect, the statements that make a table refuse every change and removal. `table` is a name of ours."""
    refusal = f"the {table} is only added to"
    sqlite = [
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
        for verb in ("UPDATE", "DELETE")
    ]
    function = (
        f"CREATE OR REPLACE FUNCTION {table}_refuses() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{refusal}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    postgresql = [
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuses()"
        for verb in ("UPDATE", "DELETE", "TRUNCATE")
    ]
    return {"sqlite": sqlite, "postgresql": [function, *postgresql]}
