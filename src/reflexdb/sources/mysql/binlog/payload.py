"""Unpacks MySQL's TRANSACTION_PAYLOAD: the events of one transaction, compressed together by zstd.

Decompresses in steps, so that a transaction of any size takes the memory of its largest event. Pure; raises ValueError
for bytes that are no such payload.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from reflexdb.sources.mysql.binlog.events import HEADER_BYTES
from reflexdb.sources.mysql.binlog.reader import Reader

_END, _SIZE, _METHOD, _PLAIN_SIZE = 0, 1, 2, 3
_ZSTD, _NONE = 0, 255
_LARGEST_EVENT = 1 << 30


def inner_events(body: bytes) -> Iterator[bytes]:
    """The whole events within a payload's body; they have no checksums."""
    method, packed = _fields(body)
    stream = pa.BufferReader(packed)
    source = pa.CompressedInputStream(stream, "zstd") if method == _ZSTD else stream
    try:
        while header := source.read(HEADER_BYTES):
            size = int.from_bytes(header[9:13], "little")
            if len(header) < HEADER_BYTES or not HEADER_BYTES <= size <= _LARGEST_EVENT:
                raise ValueError("an event in a compressed transaction is damaged")
            rest = source.read(size - HEADER_BYTES)
            if len(rest) != size - HEADER_BYTES:
                raise ValueError("a compressed transaction is cut short")
            yield header + rest
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"a compressed transaction is damaged ({error})") from error


def _fields(body: bytes) -> tuple[int, bytes]:
    """The method and the packed bytes, behind fields of a type, a length and a value."""
    reader, method = Reader(body), _ZSTD
    while (kind := reader.packed()) != _END:
        value = Reader(reader.string())
        if kind == _METHOD:
            method = value.packed()
    if method not in (_ZSTD, _NONE):
        raise ValueError(f"a transaction is compressed by method {method}, which is not known")
    return method, reader.rest()
