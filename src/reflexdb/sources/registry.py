"""Which kinds of source there are. `open_source` and `follower` are the only ways in; they connect to nothing yet.

A kind is imported where it is asked for: a sync process, which a deployment waits for, needs one driver of three.
"""

from __future__ import annotations

from reflexdb.model.errors import InvalidRequest
from reflexdb.model.schema import Backend
from reflexdb.sources.base import Source, SourceAddress
from reflexdb.sources.changes import Follower, FollowOptions

FOLLOWED = frozenset({Backend.MYSQL, Backend.POSTGRES})
"""Kinds that have a stream of their changes: those for which `follower` gives one."""
_DEFAULT_PORTS = {Backend.MYSQL: 3306, Backend.POSTGRES: 5432, Backend.MSSQL: 1433, Backend.SQLITE: None}


def default_port(backend: Backend) -> int | None:
    """The port that is meant where none is given; None where the kind has no ports."""
    return _DEFAULT_PORTS[backend]


def open_source(address: SourceAddress) -> Source:
    """The source at this address. Raises InvalidRequest for a kind that cannot be read yet; connection errors come
    with first use.
    """
    if address.backend is Backend.SQLITE:
        from reflexdb.sources.sqlite.source import SQLiteSource

        return SQLiteSource(address)
    if address.backend is Backend.MYSQL:
        from reflexdb.sources.mysql.source import MySQLSource

        return MySQLSource(address)
    if address.backend is Backend.POSTGRES:
        from reflexdb.sources.postgres.source import PostgresSource

        return PostgresSource(address)
    raise InvalidRequest(
        f"Sources of kind {address.backend.value!r} cannot be read yet; use mysql, postgres or sqlite."
    )


def follower(address: SourceAddress, schema: str, options: FollowOptions) -> Follower | None:
    """What follows the changes of a schema at this address; None for a kind that has no stream of them."""
    if address.backend is Backend.MYSQL:
        from reflexdb.sources.mysql.binlog.follower import MySQLFollower

        return MySQLFollower(address, options.server_id)
    if address.backend is Backend.POSTGRES:
        from reflexdb.sources.postgres.follow import PostgresFollower

        return PostgresFollower(address, schema, options)
    return None
