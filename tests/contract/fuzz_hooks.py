"""Loaded by schemathesis (SCHEMATHESIS_HOOKS): what it makes up is led to something that is there.

Generated hosts and ids name nothing, so that nothing would ever be provisioned: every second connection gets a real
SQLite file, and every second request about a database one that was made so. And it finds the key it speaks with in the
list of keys: revoking that one would end the conversation.
"""

from __future__ import annotations

import os
from itertools import count
from typing import Any

import schemathesis

SOURCE = os.environ.get("REFLEXDB_FUZZ_SOURCE", "")
OWN_KEY = os.environ.get("REFLEXDB_FUZZ_OWN_KEY", "")
NOBODY = "00000000-0000-4000-8000-000000000000"
_numbers, _turns = count(1), count(1)
_databases: list[str] = []


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    name = case.operation.definition.raw.get("operationId")
    if name == "revokeManagementKey" and case.path_parameters.get("id") == OWN_KEY:
        case.path_parameters["id"] = NOBODY
    if case.path.startswith("/databases/{id}") and name != "deleteDatabase" and _databases and _valid(case):
        turn = next(_turns)
        if turn % 2:
            case.path_parameters["id"] = _databases[turn % len(_databases)]
    if name == "createConnection" and _valid(case) and (number := next(_numbers)) % 2:
        case.body = {
            "name": f"source {number}",
            "backend": "sqlite",
            "mysqlHost": SOURCE,
            "availableSchemas": ["main"],
            "instance": {"name": "blog", "mysqlDb": "main"},
        }


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    if case.operation.definition.raw.get("operationId") == "createConnection" and response.status_code == 201:
        database = response.json()["database"]
        if database is not None:
            _databases.append(database["id"])


def _valid(case: Any) -> bool:
    return case.meta is None or case.meta.generation.mode.is_positive
