"""Loaded by schemathesis (SCHEMATHESIS_HOOKS): now and then it is given something that is there.

Generated hosts and ids name nothing, so that nothing would ever be provisioned. Some connections get a real SQLite
file instead, whose path is in the variable below.
"""

from __future__ import annotations

import os
from typing import Any

import schemathesis

SOURCE = os.environ.get("REFLEXDB_FUZZ_SOURCE", "")
_counter = {"connections": 0}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    if case.operation.definition.raw.get("operationId") != "createConnection" or not SOURCE:
        return
    if not isinstance(case.body, dict) or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    _counter["connections"] += 1
    number = _counter["connections"]
    if number % 2:
        case.body = {
            "name": f"source {number}",
            "backend": "sqlite",
            "mysqlHost": SOURCE,
            "availableSchemas": ["main"],
            "instance": {"name": "blog", "mysqlDb": "main"},
        }
