"""Turns the bytes of one MySQL column, as the text protocol carries them, into an Arrow array.

The bytes become one Arrow array at once and are cast in native code; only dates that are no dates (0000-00-00,
2020-00-15) and sets are looked at one by one. Raises ValueError (pa.ArrowInvalid is one) where bytes are not what the
type promises. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from reflexdb.model.storage import Storage
from reflexdb.sources.base import ARROW_TYPES
from reflexdb.sources.mysql.types import base_of

_AS_PRINTED = {Storage.TEXT, Storage.ENUM, Storage.TIME, Storage.JSON}
_NUMBERS = {Storage.I16, Storage.I32, Storage.I64, Storage.U64, Storage.F32, Storage.F64}


def to_arrow(values: Sequence[bytes | None], storage: Storage, declared: str) -> pa.Array:
    """The column's values in the storage's Arrow type. Raises ValueError."""
    raw = pa.array(values, type=pa.binary())
    if storage is Storage.BINARY:
        return raw
    text = raw.cast(pa.string())
    wanted = ARROW_TYPES[storage]
    if base_of(declared) == "set":
        return _sets(text)
    if storage in _AS_PRINTED:
        return text
    if storage in _NUMBERS:
        return text.cast(wanted)
    if storage is Storage.BOOL:
        return pc.not_equal(text.cast(pa.int64()), 0)
    if storage is Storage.DECIMAL:
        return pc.replace_substring_regex(text, "^(-?)0+([0-9])", "\\1\\2") if "zerofill" in declared.lower() else text
    if storage is Storage.UUID:
        return _uuids(text)
    return _dates(text, storage)


def _sets(text: pa.Array) -> pa.Array:
    """A set's members, which cannot contain commas, as a JSON array; there are few different sets, so each is
    written once.
    """
    encoded = text.dictionary_encode()
    written = [
        json.dumps(value.split(",") if value else [], ensure_ascii=False) for value in encoded.dictionary.to_pylist()
    ]
    return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(written, type=pa.string())).cast(pa.string())


def _uuids(text: pa.Array) -> pa.Array:
    digits = pc.replace_substring(text, "-", "").to_pylist()
    return pa.array([None if value is None else bytes.fromhex(value) for value in digits], type=pa.binary(16))


def _dates(text: pa.Array, storage: Storage) -> pa.Array:
    wanted = ARROW_TYPES[storage]
    naive = pa.timestamp("us") if storage is Storage.TIMESTAMP else wanted
    try:
        parsed = text.cast(naive)
    except pa.ArrowInvalid:
        parsed = pa.array([_date_or_null(value, storage) for value in text.to_pylist()], type=naive)
    return parsed.cast(wanted) if storage is not Storage.TIMESTAMP else pc.assume_timezone(parsed, "UTC")


def _date_or_null(value: str | None, storage: Storage) -> date | datetime | None:
    """NULL for MySQL's zero and partial dates, which no calendar has."""
    if value is None:
        return None
    try:
        return date.fromisoformat(value) if storage is Storage.DATE else datetime.fromisoformat(value)
    except ValueError:
        return None
