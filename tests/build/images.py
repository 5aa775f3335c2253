"""Images for the store's tests: the shape of real ones, a few hundred bytes, no compiler."""

from __future__ import annotations

import hashlib

from reflexdb.build.image import ImageParts, assemble
from reflexdb.build.plan import make_plan
from reflexdb.model.plan import Plan
from reflexdb.model.storage import Storage

from .schemas import column, schema, table


def small_plan(name: str = "users") -> Plan:
    return make_plan(schema(table(name, column("id", Storage.I64, "INTEGER"))), None).plan


def image(binary: bytes = b"\x7fELF", name: str = "users", architecture: str = "amd64") -> ImageParts:
    plan = small_plan(name)
    document = {
        "plan": plan.to_json(),
        "plan_fingerprint": plan.fingerprint().hex(),
        "binary": {"sha256": hashlib.sha256(binary).hexdigest()},
        "schema": plan.schema,
        "config_sha256": None,
        "engine": {"version": "0.1.0", "key": "0" * 64},
        "compiler": {"version": "c++ 12", "machine": "x86_64-linux-gnu"},
    }
    return assemble(binary, document, architecture, "0.1.0")
