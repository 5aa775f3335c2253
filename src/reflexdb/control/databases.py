"""Databases as records:

registering, changing settings and reading what is known of one. What happens to their instances is in `actions`.

Also the one place that gathers everything the API shows of a database, so that its pages agree with each other.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection as Tx

from reflexdb.control import limits
from reflexdb.control.audit import note, note_change
from reflexdb.control.conditions import must_hold
from reflexdb.control.listing import Listing, Show, Shown
from reflexdb.control.rooms import Rooms, canonical_id, new_id
from reflexdb.control.wanted import pending_changes, sync_settings, wanted
from reflexdb.model.config import parse_config
from reflexdb.model.errors import Conflict, InvalidRequest, NotFound
from reflexdb.model.lifecycle import Status
from reflexdb.records import builds, connections, databases, deployments
from reflexdb.records.pages import Page
from reflexdb.records.rows import BuildRow, ConnectionRow, DatabaseRow, DeploymentRow

_SECRET_BYTES = 32
_NOT_PROVISIONED = frozenset({Status.REGISTERED, Status.FAILED, Status.STOPPED, Status.TERMINATED})


@dataclass(frozen=True, slots=True)
class NewDatabase:
    """What a caller gives for a new database, already of the right types."""

    name: str
    schema_name: str
    instance_size: str
    log_level: str
    binlog_server_id: int | None


@dataclass(frozen=True, slots=True)
class DatabaseView:
    """A database with what its answers are made of."""

    row: DatabaseRow
    connection: ConnectionRow
    settings: Mapping[str, Any]
    """What an instance started now would run with."""
    serving: DeploymentRow | None
    latest_build: BuildRow | None
    pending: bool
    served_build: BuildRow | None = None


class Databases:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._listing = Listing(rooms.settings.min_sync_interval_s)

    def of_customer(self, customer_id: str, show: Show) -> bytes:
        """The JSON array of what `show` makes of each of the account's databases, oldest first."""
        state = self._rooms.store.state()
        if (known := self._listing.known(customer_id, state)) is not None:
            return known
        with self._rooms.store.read() as tx:
            return self._listing.whole(tx, customer_id, show, state)

    def some_of_customer(self, customer_id: str, show: Show, page: Page, published: str | None) -> list[Shown]:
        """What `show` makes of those on the page; with the published status, where one is given."""
        statuses = None if published is None else [each.value for each in Status if each.published == published]
        with self._rooms.store.read() as tx:
            return self._listing.of(tx, customer_id, show, page, statuses)

    def of_connection(self, connection_id: str) -> list[DatabaseView]:
        with self._rooms.store.read() as tx:
            return [database_view(self._rooms, tx, row) for row in databases.of_connection(tx, connection_id)]

    def get(self, customer_id: str, database_id: str) -> DatabaseView:
        with self._rooms.store.read() as tx:
            return database_view(self._rooms, tx, found(tx, customer_id, database_id))

    def create(self, customer_id: str, connection_id: str, new: NewDatabase) -> str:
        connection_id = canonical_id(connection_id, "connection")
        with self._rooms.store.write() as tx:
            if connections.get(tx, customer_id, connection_id) is None:
                raise NotFound("There is no connection with this connectionId in your account")
            return add_database(self._rooms, tx, customer_id, connection_id, new)

    def update(self, customer_id: str, database_id: str, changes: Mapping[str, Any]) -> None:
        """Change the named columns; refused as a whole where one of them can't be."""
        with self._rooms.store.write() as tx:
            row = found(tx, customer_id, database_id)
            must_hold(lambda: database_view(self._rooms, tx, row))
            values = {name: value for name, value in changes.items() if getattr(row, name) != value}
            if "name" in values:
                _refuse_taken(tx, row.connection_id, name=values["name"])
            if "schema_name" in values:
                self._check_schema_change(tx, row, values["schema_name"])
            if values.get("binlog_server_id") is not None:
                _refuse_taken(tx, None, binlog_server_id=values["binlog_server_id"])
            if values.get("custom_domain") is not None:
                _refuse_encoded(values["custom_domain"])
                limits.check_domain(self._rooms, tx, customer_id)
                _refuse_taken(tx, None, custom_domain=values["custom_domain"])
            if "instance_size" in values:
                limits.check_size(self._rooms, tx, customer_id, values["instance_size"])
            if "pause_schedule" in values:
                values["schedule_checked_at"] = self._rooms.now()
            if "tags" in values:
                values["tags"] = list(values["tags"])
            if values:
                now = self._rooms.now()
                databases.change(tx, row.id, now, **values)
                note_change(tx, now, customer_id, "database.update", row, values)

    def config(self, customer_id: str, database_id: str) -> str:
        with self._rooms.store.read() as tx:
            text = found(tx, customer_id, database_id).config_text
        if text is None:
            raise NotFound("No reflexdb.yaml is stored for this database: everything the source has is included")
        return text

    def put_config(self, customer_id: str, database_id: str, text: str | None) -> None:
        """Store reflexdb.yaml, or remove it. Raises InvalidConfig with the position of what is wrong."""
        with self._rooms.store.read() as tx:
            found(tx, customer_id, database_id)
        if text is not None:
            parse_config(text)
        with self._rooms.store.write() as tx:
            row = found(tx, customer_id, database_id)
            must_hold(lambda: row.config_text)
            now = self._rooms.now()
            databases.change(tx, row.id, now, config_text=text)
            if row.config_text != text:
                note_change(tx, now, customer_id, "database.config", row, {"config_text": text})

    def _check_schema_change(self, tx: Tx, row: DatabaseRow, schema: str) -> None:
        if row.status not in _NOT_PROVISIONED or deployments.serving(tx, row.id) is not None:
            raise Conflict(f"mysqlDb can't be changed while the database is {row.status.published}; terminate it first")
        _check_schema(connections.by_id(tx, row.connection_id), schema)


def database_secret(database_id: str) -> str:
    """The name under which the secret that signs a database's API keys is kept."""
    return f"database/{database_id}/hmac"


def database_view(rooms: Rooms, tx: Tx, row: DatabaseRow) -> DatabaseView:
    """Everything that is shown of a database, as the transaction sees it."""
    connection = connections.by_id(tx, row.connection_id)
    serving = deployments.serving(tx, row.id)
    least = rooms.settings.min_sync_interval_s
    served = None if serving is None else builds.by_id(tx, serving.build_id)
    pending = serving is not None and served is not None and pending_changes(row, connection, serving, served, least)
    return DatabaseView(
        row=row,
        connection=connection,
        settings=wanted(row, connection, sync_settings(row.config_text), least),
        serving=serving,
        latest_build=builds.newest(tx, row.id),
        pending=pending,
        served_build=served,
    )


def found(tx: Tx, customer_id: str, database_id: str) -> DatabaseRow:
    """The account's database. Raises NotFound for any other, and for an id that is no UUID."""
    row = databases.get(tx, customer_id, canonical_id(database_id, "database"))
    if row is None:
        raise NotFound("There is no database with this id in your account")
    return row


def add_database(rooms: Rooms, tx: Tx, customer_id: str, connection_id: str, new: NewDatabase) -> str:
    """Write a new database and its signing secret, in the caller's transaction; its id."""
    _check_schema(connections.by_id(tx, connection_id), new.schema_name)
    limits.check_new_database(rooms, tx, customer_id, new.instance_size)
    _refuse_taken(tx, connection_id, name=new.name)
    if new.binlog_server_id is not None:
        _refuse_taken(tx, None, binlog_server_id=new.binlog_server_id)
    database_id, now = new_id(), rooms.now()
    rooms.secrets.put(database_secret(database_id), secrets.token_bytes(_SECRET_BYTES))
    databases.add(
        tx,
        id=database_id,
        customer_id=customer_id,
        connection_id=connection_id,
        name=new.name,
        schema_name=new.schema_name,
        instance_size=new.instance_size,
        log_level=new.log_level,
        status=Status.REGISTERED.value,
        region=rooms.settings.region,
        binlog_server_id=new.binlog_server_id,
        tags=[],
        created_at=now,
        updated_at=now,
    )
    note(tx, now, customer_id, "database.create", database_id, after=asdict(databases.by_id(tx, database_id)))
    return database_id


def _check_schema(connection: ConnectionRow, schema: str) -> None:
    if schema not in connection.available_schemas:
        known = ", ".join(repr(name) for name in connection.available_schemas)
        raise InvalidRequest(f"mysqlDb {schema!r} is not one of the connection's availableSchemas: {known}")


_API_NAMES = {"name": "name", "binlog_server_id": "binlogServerId", "custom_domain": "reflexdbCustomDomain"}


def _refuse_taken(tx: Tx, connection_id: str | None, **value: object) -> None:
    [(column, wish)] = value.items()
    if databases.taken(tx, column, wish, connection_id=connection_id):
        where = "on this connection" if connection_id else "by another database"
        raise Conflict(f"{_API_NAMES[column]} {wish!r} is already used {where}; choose another")


def _refuse_encoded(domain: str) -> None:
    """Such a name stands for other letters, and could look like anybody's."""
    if domain[2:4] == "--":
        raise InvalidRequest("reflexdbCustomDomain must not have -- as its third and fourth characters; choose another")
