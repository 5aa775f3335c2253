"""Makes events of MySQL's binary log by the format's rules, since no MySQL server can be run in the tests."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from uuid import UUID

from reflexdb.model.plan import Plan, PlannedColumn, PlannedTable
from reflexdb.model.schema import Backend
from reflexdb.model.storage import Storage
from reflexdb.sources.changes import Event
from reflexdb.sources.mysql.binlog.catalog import Catalog, Server
from reflexdb.sources.mysql.binlog.charsets import decoder
from reflexdb.sources.mysql.binlog.foreign_keys import Acting
from reflexdb.sources.mysql.binlog.gtid import parse
from reflexdb.sources.mysql.binlog.layout import Charsets, Described
from reflexdb.sources.mysql.binlog.tables import Watch
from reflexdb.sources.mysql.binlog.transactions import Transactions

SOURCE = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
WHEN = 1_770_000_000


def event(kind: int, body: bytes, *, end: int = 1000, flags: int = 0, checksum: bool = True) -> bytes:
    """A whole event."""
    size = 19 + len(body) + (4 if checksum else 0)
    data = struct.pack("<IBIIIH", WHEN, kind, 1, size, end, flags) + body
    return data + zlib.crc32(data).to_bytes(4, "little") if checksum else data


def packed(number: int) -> bytes:
    """A length-encoded integer."""
    return bytes((number,)) if number < 251 else b"\xfc" + number.to_bytes(2, "little")


def string(value: bytes) -> bytes:
    return packed(len(value)) + value


def format_description() -> bytes:
    body = (4).to_bytes(2, "little") + b"8.4.0".ljust(50, b"\0") + bytes(4) + b"\x13" + bytes(41) + b"\x01"
    return event(15, body)


def rotate(file: str, offset: int = 4) -> bytes:
    return event(4, offset.to_bytes(8, "little") + file.encode(), end=0, flags=0x20)


def gtid(number: int, *, committed_us: int = 0, kind: int = 33) -> bytes:
    body = b"\0" + UUID(SOURCE).bytes + number.to_bytes(8, "little") + b"\x02" + bytes(16)
    return event(kind, body + committed_us.to_bytes(7, "little"))


def query(statement: str, *, schema: str = "shop", flags: int = 0) -> bytes:
    status = b"\x00" + bytes(4) + b"\x01" + bytes(8) + b"\x04\x2d\x00\x2d\x00\x2d\x00"
    head = bytes(8) + bytes((len(schema),)) + bytes(2) + len(status).to_bytes(2, "little")
    return event(2, head + status + schema.encode() + b"\0" + statement.encode(), flags=flags)


def xid(end: int = 1000) -> bytes:
    return event(16, bytes(8), end=end)


def table_map(kinds: Sequence[int], metas: bytes, optional: bytes = b"", *, name: str = "t", number: int = 7) -> bytes:
    nulls = b"\xff" * ((len(kinds) + 7) // 8)
    head = number.to_bytes(6, "little") + b"\x01\x00\x04shop\0" + bytes((len(name),)) + name.encode() + b"\0"
    return event(19, head + packed(len(kinds)) + bytes(kinds) + string(metas) + nulls + optional)


def option(kind: int, value: bytes) -> bytes:
    """A piece of a TABLE_MAP's optional metadata."""
    return bytes((kind,)) + string(value)


def rows(kind: int, width: int, data: bytes, *, number: int = 7, flags: int = 1, checksum: bool = True) -> bytes:
    """Row events of the second version, all columns present."""
    bitmap = b"\xff" * ((width + 7) // 8)
    head = number.to_bytes(6, "little") + flags.to_bytes(2, "little") + (2).to_bytes(2, "little") + packed(width)
    return event(kind, head + bitmap * (2 if kind == 31 else 1) + data, checksum=checksum)


def watch(columns: Sequence[tuple[str, Storage, str]], *, mariadb: bool = False) -> Watch:
    """One table `t` of the schema `shop`, with the first column as its key."""
    planned = tuple(PlannedColumn(name, name, storage, declared, True) for name, storage, declared in columns)
    plan = Plan(Backend.MYSQL, "shop", (PlannedTable("t", "t", planned, primary_key=(0,)),))
    decoders = {name: decode for name in ("utf8mb4", "utf8mb3") if (decode := decoder(name)) is not None}
    catalog = Catalog(
        Server("11.4.2-MariaDB" if mariadb else "8.4.0", mariadb, False, True),
        {("shop", "t"): tuple(Described(name, declared, "utf8mb4") for name, _, declared in columns)},
        Acting(),
        Charsets({255: "utf8mb4", 33: "utf8mb3"}, decoders),
        frozenset(),
        frozenset(),
        {},
    )
    return Watch(plan, catalog, lambda: catalog)


SIMPLE = (("id", Storage.I32, "int"), ("v", Storage.TEXT, "varchar(40)"))


def simple_map() -> bytes:
    return table_map((3, 15), (160).to_bytes(2, "little"))


def simple_row(number: int, text: str) -> bytes:
    return b"\0" + struct.pack("<i", number) + bytes((len(text.encode()),)) + text.encode()


def transactions(position: str, of: Watch | None = None) -> Transactions:
    made = Transactions(of or watch(SIMPLE), parse(position), {})
    assert list(taken(made, rotate("binlog.000001"), format_description())) == []
    return made


def taken(stream: Transactions, *data: bytes) -> Iterator[Event]:
    for one in data:
        yield from stream.take(one)
