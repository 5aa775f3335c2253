"""The published contract as a judge: every reply of the API in tests is held against the operation it answers.

Reads the package's copy of the contract. A reply must have a documented status and fit its schema; beyond what JSON
Schema asks, every documented field must be there, null where it has no value, unless it is one of the few that are
left out by design.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker

NOT_IN_THIS_RELEASE = ("/billing/", "/admin/")
SOMETIMES_LEFT_OUT = {
    "error", "latencyMs", "estimatedSizeGb", "availableSchemas", "binlog",  # of a connection test
    "mode", "reason",  # of an action
    "queued", "buildId",  # of an accepted action
    "color",  # of a tag
}  # fmt: skip
EVERYWHERE = {405, 413, 503}
"""Statuses of HTTP itself, and of records that are away; their answers have the form of every other error."""

_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("uuid")
def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or bool(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value))


@_FORMATS.checks("date-time")
def _is_date_time(value: object) -> bool:
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
    return not isinstance(value, str) or bool(re.fullmatch(pattern, value))


@cache
def contract() -> dict[str, Any]:
    """The contract with every reference followed and `nullable` said in JSON Schema's way."""
    text = files("reflexdb.api.spec").joinpath("control-plane.openapi.yaml").read_text("utf-8")
    document = yaml.safe_load(text)
    document["components"]["schemas"]["Backend"]["enum"].append("sqlite")  # our documented addition
    resolved = _resolved(document, document)
    assert isinstance(resolved, dict)
    return resolved


def _resolved(node: Any, root: Any) -> Any:
    if isinstance(node, list):
        return [_resolved(item, root) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = root
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return _resolved(target, root)
    plain = {key: _resolved(value, root) for key, value in node.items()}
    if plain.pop("nullable", False):
        return {"anyOf": [{"type": "null"}, plain]}
    return plain


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation of everything this release offers."""
    for path, item in contract()["paths"].items():
        if not path.startswith(NOT_IN_THIS_RELEASE):
            for method, operation in item.items():
                if method != "parameters":
                    yield method.upper(), path, operation


def operation_for(method: str, path: str) -> dict[str, Any] | None:
    """The operation that a request's path (without /v1) belongs to; literal paths before those with parameters."""
    fitting = [
        (template.count("{"), operation)
        for verb, template, operation in operations()
        if verb == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]*", template), path)
    ]
    return min(fitting, key=lambda each: each[0])[1] if fitting else None


def check_reply(method: str, path: str, status: int, kind: str, body: Any) -> None:
    """Fail unless the reply is one that the contract allows."""
    operation = operation_for(method, path)
    if operation is None or (status in EVERYWHERE and str(status) not in operation["responses"]):
        check_error(body) if status >= 400 else None
        return
    assert str(status) in operation["responses"], f"{method} {path} answered {status}, which is not documented: {body}"
    content = operation["responses"][str(status)].get("content", {})
    if not content:
        assert not body, f"{method} {path} answered {status} with a body"
        return
    [(expected_kind, media)] = content.items()
    assert kind.partition(";")[0] == expected_kind
    if expected_kind == "application/json":
        check_value(media["schema"], body)
    if status >= 400:
        check_error(body)


def check_error(body: Any) -> None:
    assert set(body) == {"error", "message"}
    assert re.fullmatch(r"[a-z_]+", body["error"])
    assert body["message"]


def check_value(schema: dict[str, Any], value: Any) -> None:
    errors = list(Draft202012Validator(schema, format_checker=_FORMATS).iter_errors(value))
    assert not errors, "\n".join(f"{error.json_path}: {error.message}" for error in errors)
    assert not (lacking := list(_lacking(schema, value, "$"))), f"documented but not sent: {lacking}"


def _lacking(schema: dict[str, Any], value: Any, where: str) -> Iterator[str]:
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ())):
        if value is not None:
            yield from _lacking(part, value, where)
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _lacking(schema["items"], item, f"{where}[{index}]")
    if isinstance(value, dict):
        for name, part in schema.get("properties", {}).items():
            if name in value:
                yield from _lacking(part, value[name], f"{where}.{name}")
            elif name not in SOMETIMES_LEFT_OUT:
                yield f"{where}.{name}"
