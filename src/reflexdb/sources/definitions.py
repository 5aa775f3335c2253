"""One short value for all definitions of a schema, so that a change of any of them is noticed by comparing two texts.

Used by the adapters, whose `definitions` gives it; read by sync, which only compares. What describes rows rather than
definitions (how many there may be) is not in it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from reflexdb.model.schema import SourceSchema


def digest(schema: SourceSchema) -> str:
    """The same text for the same definitions, whoever described them."""
    tables = [{**asdict(table), "estimated_rows": None} for table in schema.tables]
    return digest_of([tables, [entry.to_json() for entry in schema.not_served]])


def digest_of(document: Any) -> str:
    """Of anything that JSON can say."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]
