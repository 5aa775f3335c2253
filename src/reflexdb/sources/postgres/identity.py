"""Whether PostgreSQL goes on accepting UPDATE and DELETE of a table once a publication has it, and what mends it.

The server judges each partition that is written by itself: its own replica identity, whatever that of its root is. The
rules are those of the server's CheckCmdReplicaIdentity in each version; where they leave a choice, the stricter answer
is taken, since a wrong one breaks the application's writes. Knows no publication.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from reflexdb.sources.postgres.connect import quoted

NODES = """
    WITH RECURSIVE nodes(root, oid) AS (
        SELECT c.oid, c.oid FROM pg_class c WHERE c.oid = ANY(%s)
        UNION ALL SELECT nodes.root, i.inhrelid FROM nodes JOIN pg_class p ON p.oid = nodes.oid AND p.relkind = 'p'
                  JOIN pg_inherits i ON i.inhparent = nodes.oid)
    SELECT nodes.root, c.oid, n.nspname, c.relname, c.relkind::text, c.relpersistence::text, c.relreplident::text,
           c.relispartition, c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = c.oid),
           k.indimmediate, i.indexrelid IS NOT NULL,
           ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
                 AND NOT a.attisdropped AND a.attgenerated <> ''
                 AND (c.relreplident = 'f' OR a.attnum = ANY(i.indkey[0:i.indnkeyatts - 1])) ORDER BY a.attnum)
    FROM nodes JOIN pg_class c ON c.oid = nodes.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN LATERAL (SELECT indimmediate FROM pg_index WHERE indrelid = c.oid AND indisprimary LIMIT 1) k ON true
    LEFT JOIN LATERAL (
        SELECT indexrelid, indkey, indnkeyatts FROM pg_index
        WHERE indrelid = c.oid AND indislive AND indisvalid AND indisunique AND indimmediate AND indpred IS NULL
        AND (c.relreplident = 'd' AND indisprimary OR c.relreplident = 'i' AND indisreplident) LIMIT 1) i ON true
    ORDER BY nodes.root, nodes.root <> c.oid, n.nspname, c.relname"""
"""A row for each table and each of its partitions, the table first: the root's id and the fields of Node."""
GENERATED_FROM = 180_000
"""The first version that refuses writes whose replica identity contains a generated column that is not published."""


@dataclass(frozen=True, slots=True)
class Node:
    """A table, or a partition at any depth; the letters are those of pg_class."""

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    identity: str
    is_partition: bool
    has_heirs: bool
    """Other tables inherit from it and are no partitions."""
    key_is_immediate: bool | None
    """Of its primary key; None without one."""
    has_index: bool
    """The server finds an index for its replica identity."""
    generated: list[str]
    """Generated columns within its replica identity."""

    @property
    def title(self) -> str:
        """For SQL."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a table can't be in a publication."""

    reason: str
    mend: str
    """The statement that mends it; empty where no statement does."""
    is_harmful: bool
    """The server would refuse writes of the application."""

    def __str__(self) -> str:
        return f"{self.reason}. Run: {self.mend}" if self.mend else f"{self.reason}."


def obstacles(connection: psycopg.Connection[Any], oids: list[int]) -> dict[int, Obstacle]:
    """By id, the tables that can't be in a publication. Raises the driver's errors."""
    version = connection.info.server_version
    found: dict[int, list[Node]] = {}
    for root, *fields in connection.execute(NODES, (oids,)):
        found.setdefault(root, []).append(Node(*fields))
    judged = {root: obstacle(nodes, version) for root, nodes in found.items()}
    return {root: what for root, what in judged.items() if what is not None}


def obstacle(nodes: list[Node], version: int) -> Obstacle | None:
    """Judge a table by itself and its partitions, the table first. Pure."""
    root, *partitions = nodes
    if root.kind not in ("r", "p"):
        return Obstacle("it is no table: replication is silent about views and foreign tables", "", False)
    if (found := _of_node(root, "it", version)) is not None:
        return found
    if root.is_partition:
        return Obstacle("it is a partition: replication tells its changes as those of another table", "", False)
    if root.kind == "p" and root.key_is_immediate is None:
        return Obstacle(
            "it is partitioned without a primary key, so that a new partition has no replica identity",
            f"ALTER TABLE {root.title} ADD PRIMARY KEY (<columns>);",
            False,
        )
    for node in partitions:
        if (found := _of_node(node, f"its partition {quoted(node.name)}", version)) is not None:
            return found
    return None


def _of_node(node: Node, subject: str, version: int) -> Obstacle | None:
    if node.kind == "f":
        return Obstacle(f"{subject} is a foreign table, of whose changes replication is silent", "", False)
    if node.persistence != "p":
        mend = f"ALTER TABLE {node.title} SET LOGGED;"
        return Obstacle(f"{subject} is unlogged, so that replication is silent", mend, False)
    if node.has_heirs:
        return Obstacle(
            f"other tables inherit from {quoted(node.name)}, and their changes have another name", "", False
        )
    if node.key_is_immediate is False and (node.kind == "p" or node.identity == "d"):
        return Obstacle(
            f"{subject} has a DEFERRABLE primary key, which the server does not accept as replica identity",
            _undeferred(node),
            True,
        )
    if node.identity != "f" and not node.has_index:
        return Obstacle(f"{subject} {_LACKS[node.identity]}", _identify(node), True)
    if node.generated and version >= GENERATED_FROM:
        columns = ", ".join(map(quoted, node.generated))
        return Obstacle(f"{subject} has generated columns in its replica identity ({columns})", _identify(node), True)
    return None


_LACKS = {
    "d": "has no primary key",
    "n": "has REPLICA IDENTITY NOTHING",
    "i": "has a replica identity whose index is gone or not valid",
}


def _undeferred(node: Node) -> str:
    if node.kind == "r" and not node.is_partition and not node.generated:
        return f"ALTER TABLE {node.title} REPLICA IDENTITY FULL;"
    return f"ALTER TABLE {node.title} DROP CONSTRAINT <primary key>, ADD PRIMARY KEY (<columns>);"


def _identify(node: Node) -> str:
    if node.identity != "d" and node.key_is_immediate:
        return f"ALTER TABLE {node.title} REPLICA IDENTITY DEFAULT;"
    if node.key_is_immediate:  # and contains a generated column
        return (
            f"ALTER TABLE {node.title} REPLICA IDENTITY USING INDEX <unique index of columns that are not generated>;"
        )
    return f"ALTER TABLE {node.title} ADD PRIMARY KEY (<columns>);"
