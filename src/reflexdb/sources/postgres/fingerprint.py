"""The fingerprint of a relation: everything in the catalog that the meaning of its stored values depends on.

Logical replication tells the rows that statements change. It does not tell that columns exchanged their names, that an
attribute joined a composite type, that a partition was attached, or that row security hides rows from the reader. Each
of these leaves another fingerprint. One statement asks for the fingerprints of all planned relations, and covers only
the columns that are planned. Pure: knows no connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

TYPE_LEVELS = 16
"""Types are looked into so deep; one that contains itself by way of a table would never end."""

QUERY = """
    WITH RECURSIVE asked(oid, name) AS (SELECT * FROM unnest(%(oids)s::oid[], %(names)s::text[])),
    relations AS (
        SELECT c.oid, c.relkind, c.relnamespace, c.reloptions FROM pg_class c
        WHERE c.oid IN (SELECT oid FROM asked)),
    parts(root, oid, link) AS (
        SELECT c.oid, c.oid, '' FROM relations c
        UNION ALL SELECT parts.root, i.inhrelid, i.xmin::text
        FROM parts JOIN pg_inherits i ON i.inhparent = parts.oid),
    files AS (
        SELECT parts.root, json_object_agg(p.oid, concat_ws(' ', p.relfilenode, parts.link)) AS words
        FROM parts JOIN pg_class p ON p.oid = parts.oid WHERE p.relkind IN ('r', 'm') GROUP BY parts.root),
    columns AS (
        SELECT a.attrelid, a.attname, a.attnum, a.atttypid, a.atttypmod, a.attcollation, a.attgenerated,
               a.xmin::text AS defined
        FROM asked JOIN pg_attribute a
        ON a.attrelid = asked.oid AND coalesce(asked.name, a.attname) = a.attname
        WHERE a.attnum > 0 AND NOT a.attisdropped),
    types(root, oid, level) AS (
        SELECT DISTINCT a.atttypid, a.atttypid, 0 FROM columns a WHERE a.atttypid >= 16384
        UNION SELECT types.root, part.oid, types.level + 1
        FROM types JOIN pg_type t ON t.oid = types.oid CROSS JOIN LATERAL (
            SELECT t.typelem UNION SELECT t.typbasetype
            UNION SELECT f.atttypid FROM pg_attribute f
                  WHERE f.attrelid = t.typrelid AND f.attnum > 0 AND NOT f.attisdropped
            UNION SELECT CASE WHEN g.rngtypid = t.oid THEN g.rngsubtype ELSE g.rngtypid END FROM pg_range g
                  WHERE t.oid = g.rngtypid OR t.oid = (to_jsonb(g) ->> 'rngmultitypid')::oid) part(oid)
        WHERE part.oid >= 16384 AND types.level < %(levels)s),
    parts_of_types AS (
        SELECT DISTINCT types.root, concat_ws(' ', t.oid, t.typbasetype, t.typtypmod, t.typcollation, (
            SELECT string_agg(concat_ws(' ', f.attnum, quote_ident(f.attname), f.atttypid, f.atttypmod,
                                        f.attcollation, f.xmin), ',' ORDER BY f.attnum)
            FROM pg_attribute f WHERE f.attrelid = t.typrelid AND f.attnum > 0 AND NOT f.attisdropped)) AS words
        FROM types JOIN pg_type t ON t.oid = types.oid),
    made_of AS (
        SELECT root, hashtextextended(string_agg(words, ';' ORDER BY words COLLATE "C"), 0) AS words
        FROM parts_of_types GROUP BY root),
    described AS (
        SELECT a.attrelid, json_object_agg(a.attname, a.defined) AS defined, json_object_agg(a.attname, concat_ws(' ',
            a.attnum, a.atttypid, a.atttypmod, a.attcollation, made_of.words, CASE WHEN a.attgenerated <> '' THEN (
                SELECT concat_ws(' ', a.attgenerated, pg_get_expr(d.adbin, d.adrelid)) FROM pg_attrdef d
                WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) END)) AS words
        FROM columns a LEFT JOIN made_of ON made_of.root = a.atttypid GROUP BY a.attrelid),
    labels AS (
        SELECT found.attrelid, json_object_agg(found.oid, found.words) AS words FROM (
            SELECT DISTINCT a.attrelid, e.oid, concat_ws(' ', e.xmin, e.enumlabel) AS words
            FROM columns a JOIN types ON types.root = a.atttypid JOIN pg_enum e ON e.enumtypid = types.oid) found
        GROUP BY found.attrelid)
    SELECT c.oid, files.words, described.words, described.defined, labels.words,
      (SELECT concat_ws(' ', p.oid, p.xmin, p.puballtables, (
           SELECT concat('member ', m.oid) FROM pg_publication_rel m
           WHERE m.prpubid = p.oid AND m.prrelid = c.oid){schemas})
       FROM pg_publication p WHERE p.pubname = %(publication)s),
      CASE WHEN row_security_active(c.oid) THEN concat('on ', (
          SELECT string_agg(concat_ws(' ', l.polname, l.polpermissive, pg_get_expr(l.polqual, l.polrelid), (
              SELECT string_agg(f.xmin::text, ',' ORDER BY f.oid) FROM pg_depend d JOIN pg_proc f ON f.oid = d.refobjid
              WHERE d.classid = 'pg_policy'::regclass AND d.objid = l.oid AND d.refclassid = 'pg_proc'::regclass)),
              ';' ORDER BY l.polname)
          FROM pg_policy l WHERE l.polrelid = c.oid AND l.polcmd IN ('r', '*') AND EXISTS (
              SELECT FROM unnest(l.polroles) role WHERE role = 0 OR pg_has_role(role, 'USAGE')))) END,
      (SELECT concat_ws(' ', r.xmin, array_to_string(c.reloptions, ','), (
           SELECT string_agg(f.xmin::text, ',' ORDER BY f.oid) FROM pg_depend d JOIN pg_proc f ON f.oid = d.refobjid
           WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_proc'::regclass))
       FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type = '1' AND c.relkind IN ('v', 'm'))
    FROM relations c LEFT JOIN files ON files.root = c.oid LEFT JOIN described ON described.attrelid = c.oid
    LEFT JOIN labels ON labels.attrelid = c.oid"""
"""A row for each relation: the fields of Shape."""
_PUBLISHED_SCHEMAS = """,
                        (SELECT m.oid FROM pg_publication_namespace m
                         WHERE m.pnpubid = p.oid AND m.pnnspid = c.relnamespace)"""


def query(server_version: int) -> str:
    """The statement for a server of this `server_version_num`."""
    return QUERY.format(schemas=_PUBLISHED_SCHEMAS if server_version >= 150_000 else "")


@dataclass(frozen=True, slots=True)
class Shape:
    """The fingerprint of one relation, in parts that are compared by different rules."""

    oid: int
    files: dict[str, str]
    """Of the table, or of each of its partitions and heirs: the file, and when it was attached."""
    columns: dict[str, str]
    """By name: attnum, type, modifier, collation, all that the type is made of, and its expression."""
    defined: dict[str, str]
    """By name, the transaction that last touched the column's definition."""
    labels: dict[str, str]
    """Of its ENUMs, by their ids."""
    published: str | None
    """The entry in the publication and the publication's last change."""
    secured: str | None
    """The policies of row security that apply to the reader; None where it sees every row."""
    rule: str | None
    """Of a view: when its definition and the functions in it were last changed."""

    @classmethod
    def of(cls, row: Iterable[Any]) -> Shape:
        oid, files, columns, defined, labels, published, secured, rule = row
        return cls(oid, files or {}, columns or {}, defined or {}, labels or {}, published, secured, rule)

    def since(self, before: Shape, filled: frozenset[str], *, suspect: bool = False) -> str | None:
        """Why rows may differ that were read in the shape `before`; None where they can't. `filled` are the partitions
        that have rows. `suspect`: the stream described the columns differently in between."""
        if self.oid != before.oid:
            return "it is another table of the same name"
        if self.rule != before.rule:
            return "its definition was changed"
        if self.published != before.published:
            return "its publication was changed"
        if self.secured != before.secured:
            return "row security was changed"
        if (column := self._altered(before)) is not None:
            return f"column {column!r} was altered, renamed or exchanged, or its type was"
        if any(self.labels.get(label, text) != text for label, text in before.labels.items()):
            return "a label of an ENUM was renamed"
        if before.files.keys() - self.files.keys() or (self.files.keys() - before.files.keys()) & filled:
            return "partitions were attached, detached or dropped"
        if suspect and self._is_redefined(before):
            return "its columns had other names or types in between"
        if any(self.files[part] != file for part, file in before.files.items()) and self._is_rewritten(before):
            return "its rows or those of a partition were rewritten"
        return None

    def _altered(self, before: Shape) -> str | None:
        names = sorted(before.columns.keys() & self.columns.keys())
        return next((name for name in names if self.columns[name] != before.columns[name]), None)

    def _is_redefined(self, before: Shape) -> bool:
        return any(self.defined.get(name, xmin) != xmin for name, xmin in before.defined.items())

    def _is_rewritten(self, before: Shape) -> bool:
        """VACUUM FULL and CLUSTER rewrite a single table and change no row. A table that is published with all others
        may have been unlogged for a while."""
        is_member = self.published is not None and " member " in self.published
        return self._is_redefined(before) or not is_member or self.files.keys() != {str(self.oid)}
