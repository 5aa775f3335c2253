"""Connections: creating, changing, testing and deleting them, with their passwords in the secret store.

A password is kept under a name of its own each time it is set; the record points to the name. So a change of both is
one change, a running instance keeps the credentials it was started with, and what nothing points to any more is swept
away. Secrets are written and swept only while the write lock of the records is held: none is taken for forgotten
between its writing and its record's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection as Tx

from reflexdb.control.audit import note, note_change
from reflexdb.control.conditions import must_hold
from reflexdb.control.databases import DatabaseView, NewDatabase, add_database, database_secret, database_view
from reflexdb.control.rooms import Rooms, canonical_id, new_id
from reflexdb.control.signing import SIGNING_SECRET
from reflexdb.control.sqlite_files import refusal
from reflexdb.control.wanted import AUTO
from reflexdb.model.errors import Conflict, InvalidRequest, NotFound, SourceDenied
from reflexdb.model.schema import Backend
from reflexdb.records import connections, databases, deployments
from reflexdb.records.pages import EVERYTHING, Page
from reflexdb.records.rows import ConnectionRow
from reflexdb.sources.apart import Test
from reflexdb.sources.base import SourceAddress, TestResult

SYNC_MODES = {
    Backend.MYSQL: ("poll", "binlog"),
    Backend.POSTGRES: ("poll", "logical"),
    Backend.SQLITE: ("poll",),
}
"""How this release keeps an instance equal to its source."""

_DEFAULT_PORT = {Backend.POSTGRES: 5432}
_ORDINARY_PORT = 3306
_SUPPORTED = (Backend.MYSQL, Backend.POSTGRES, Backend.SQLITE)


@dataclass(frozen=True, slots=True)
class NewConnection:
    """What a caller gives for a new connection, already of the right types."""

    name: str
    backend: Backend
    host: str
    port: int | None
    available_schemas: tuple[str, ...]
    user: str
    password: str
    sync_mode: str
    sync_interval_s: int


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """A connection with its databases."""

    row: ConnectionRow
    databases: tuple[DatabaseView, ...]


class Connections:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def of_customer(self, customer_id: str, page: Page = EVERYTHING) -> list[ConnectionRow]:
        with self._rooms.store.read() as tx:
            return connections.of_customer(tx, customer_id, page)

    def get(self, customer_id: str, connection_id: str) -> ConnectionRow:
        with self._rooms.store.read() as tx:
            return _found(tx, customer_id, connection_id)

    def view(self, customer_id: str, connection_id: str) -> ConnectionView:
        with self._rooms.store.read() as tx:
            return self._view(tx, _found(tx, customer_id, connection_id))

    def create(self, customer_id: str, new: NewConnection, first: NewDatabase | None) -> tuple[str, str | None]:
        """The ids of the connection and of its first database: both are created, or neither."""
        check_credentials(new.backend, new.user, new.password)
        self._check_sync(new.backend, new.sync_mode, new.sync_interval_s)
        self._check_file(new.backend, new.host)
        connection_id, now = new_id(), self._rooms.now()
        with self._rooms.store.write() as tx:
            _refuse_taken_name(tx, customer_id, new.name)
            connections.add(
                tx,
                id=connection_id,
                customer_id=customer_id,
                name=new.name,
                backend=new.backend.value,
                host=new.host,
                port=new.port or default_port(new.backend),
                available_schemas=list(new.available_schemas),
                user=new.user,
                password_ref=self._keep_password(connection_id, new.password),
                sync_mode=new.sync_mode,
                sync_interval_s=new.sync_interval_s,
                created_at=now,
                updated_at=now,
            )
            row = _found(tx, customer_id, connection_id)
            note(tx, now, customer_id, "connection.create", connection_id, after=asdict(row))
            database_id = None
            if first is not None:
                database_id = add_database(self._rooms, tx, customer_id, connection_id, first)
        return connection_id, database_id

    def update(self, customer_id: str, connection_id: str, changes: Mapping[str, Any]) -> None:
        """Change the named columns; `password` among them goes to the secret store."""
        values = dict(changes)
        password = values.pop("password", None)
        if "host" in values:
            self._check_file(Backend(self.get(customer_id, connection_id).backend), values["host"])
        with self._rooms.store.write() as tx:
            row = _found(tx, customer_id, connection_id)
            must_hold(lambda: self._view(tx, row))
            self._check_sync(Backend(row.backend), values.get("sync_mode"), values.get("sync_interval_s"))
            if values.get("name", row.name) != row.name:
                _refuse_taken_name(tx, customer_id, values["name"])
            if "available_schemas" in values:
                _refuse_used_schemas(tx, row, values["available_schemas"])
                values["available_schemas"] = list(values["available_schemas"])
            _refuse_password_elsewhere(row, values, password)
            if password is not None:
                values["password_ref"] = self._keep_password(row.id, password)
            if values:
                now = self._rooms.now()
                connections.change(tx, row.id, now, **values)
                note_change(tx, now, customer_id, "connection.update", row, values)
        self.sweep_secrets()

    def delete(self, customer_id: str, connection_id: str) -> None:
        with self._rooms.store.write() as tx:
            row = _found(tx, customer_id, connection_id)
            must_hold(lambda: self._view(tx, row))
            using = databases.of_connection(tx, row.id)
            if using:
                raise Conflict(f"{len(using)} database(s) use this connection; delete them first")
            now = self._rooms.now()
            connections.change(tx, row.id, now, deleted_at=now)
            note(tx, now, customer_id, "connection.delete", row.id, before=asdict(row))
        self.sweep_secrets()

    def test(self, address: SourceAddress) -> TestResult:
        """Log in and look around. Raises SourceError, and Overloaded where too many are tested just now."""
        if address.backend is Backend.SQLITE:
            refuse_other_files(self._rooms, address.host)
        return self._rooms.asking.ask(Test(address))

    def test_stored(self, customer_id: str, connection_id: str) -> TestResult:
        return self.test(self.address(self.get(customer_id, connection_id)))

    def address(self, row: ConnectionRow) -> SourceAddress:
        return source_address(self._rooms, row)

    def sweep_secrets(self) -> None:
        """Remove the secrets that no record points to any more."""
        with self._rooms.store.write() as tx:
            used = connections.password_refs(tx) | deployments.password_refs(tx)
            used |= {database_secret(row.id) for row in databases.everyones(tx)} | {SIGNING_SECRET}
            self._rooms.secrets.remove(self._rooms.secrets.names() - used)

    def _view(self, tx: Tx, row: ConnectionRow) -> ConnectionView:
        using = (database_view(self._rooms, tx, each) for each in databases.of_connection(tx, row.id))
        return ConnectionView(row, tuple(using))

    def _keep_password(self, connection_id: str, password: str) -> str | None:
        if not password:
            return None
        name = f"connection/{connection_id}/{new_id()}"
        self._rooms.secrets.put(name, password.encode())
        return name

    def _check_file(self, backend: Backend, host: str) -> None:
        if backend is Backend.SQLITE and (why := refusal(self._rooms, host)):
            raise InvalidRequest(f"mysqlHost: {why}")

    def _check_sync(self, backend: Backend, mode: str | None, interval_s: int | None) -> None:
        offered = SYNC_MODES[backend]
        if mode is not None and mode != AUTO and mode not in offered:
            raise InvalidRequest(
                f"syncMode {mode} is not offered for {backend.value} by this release; use one of: {', '.join(offered)}"
            )
        least = self._rooms.settings.min_sync_interval_s
        if interval_s is not None and interval_s < least:
            raise InvalidRequest(
                f"syncInterval is {interval_s}; the shortest that this server allows is {least} seconds"
            )


def default_port(backend: Backend) -> int:
    return _DEFAULT_PORT.get(backend, _ORDINARY_PORT)


def check_supported(backend: Backend) -> None:
    """Raises InvalidRequest for a backend that this release can't read."""
    if backend not in _SUPPORTED:
        names = ", ".join(_SUPPORTED)
        raise InvalidRequest(f"backend {backend.value} is not supported by this release; use one of: {names}")


def source_address(rooms: Rooms, row: ConnectionRow) -> SourceAddress:
    """Where a stored connection leads, with its password. Raises SourceDenied for a file that may not be read."""
    backend = Backend(row.backend)
    if backend is Backend.SQLITE:
        refuse_other_files(rooms, row.host)
        return SourceAddress(backend, row.host)
    password = rooms.secrets.get(row.password_ref).decode() if row.password_ref else ""
    return SourceAddress(backend, row.host, row.port, row.user, password)


def refuse_other_files(rooms: Rooms, path: str) -> None:
    """Raises SourceDenied for a SQLite file that may not be a source here."""
    if why := refusal(rooms, path):
        raise SourceDenied(why[0].upper() + why[1:])


def check_credentials(backend: Backend, user: str, password: str) -> None:
    """Raises InvalidRequest where the backend can't be read, or needs a login and none was given."""
    check_supported(backend)
    if backend is not Backend.SQLITE:
        missing = [name for name, value in (("mysqlUser", user), ("mysqlPassword", password)) if not value]
        if missing:
            raise InvalidRequest(f"{' and '.join(missing)} must be given for backend {backend.value}")


def _found(tx: Tx, customer_id: str, connection_id: str) -> ConnectionRow:
    row = connections.get(tx, customer_id, canonical_id(connection_id, "connection"))
    if row is None:
        raise NotFound("There is no connection with this id in your account")
    return row


def _refuse_password_elsewhere(row: ConnectionRow, values: Mapping[str, Any], password: str | None) -> None:
    """A stored password goes to the server it was entered for: whoever may change a connection could have it sent to a
    server of their own otherwise.
    """
    if row.password_ref is None or password:
        return
    moved = [
        name
        for name, column in (("mysqlHost", "host"), ("mysqlPort", "port"))
        if values.get(column, getattr(row, column)) != getattr(row, column)
    ]
    if moved:
        raise InvalidRequest(
            f"{' and '.join(moved)}: the stored password is for the server that it was entered for; "
            "send mysqlPassword with the change"
        )


def _refuse_taken_name(tx: Tx, customer_id: str, name: str) -> None:
    if connections.named(tx, customer_id, name) is not None:
        raise Conflict(f"A connection named {name!r} exists already; choose another name")


def _refuse_used_schemas(tx: Tx, row: ConnectionRow, schemas: tuple[str, ...]) -> None:
    used = {database.schema_name: database.name for database in databases.of_connection(tx, row.id)}
    for schema in sorted(used.keys() - set(schemas)):
        raise Conflict(
            f"Schema {schema!r} is used by database {used[schema]!r}; it can't be removed from the connection"
        )
