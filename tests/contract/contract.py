"""The published contract as a judge: every reply of the API in tests is held against the operation it answers.

Reads the package's copy of the contract and the document that the API serves. A reply must have a documented status and
fit both schemas; beyond what JSON Schema asks, every field of the contract must be there, null where it has no value,
unless it is one of the few that are left out by design.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker

Json = dict[str, Any]

NOT_SERVED: set[str] = set()
"""Operations of the contract that are not offered yet. The only such list; it fails where one of them is served."""

NOT_REACHED: set[tuple[str, str]] = set()
"""Answers that are documented and never given yet: no plan refuses a build. A run of everything that sees one fails."""

SOMETIMES_LEFT_OUT = {
    "error", "latencyMs", "estimatedSizeGb", "availableSchemas", "binlog",  # of a connection test
    "mode", "reason",  # of an action
    "queued", "buildId",  # of an accepted action
    "color",  # of a tag
}  # fmt: skip
EVERYWHERE = {405}
"""Statuses of HTTP itself, where there is a path and no operation; their answers have the form of every other error."""

_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("uuid")
def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or bool(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value))


@_FORMATS.checks("date-time")
def _is_date_time(value: object) -> bool:
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
    return not isinstance(value, str) or bool(re.fullmatch(pattern, value))


@cache
def contract() -> Json:
    """The contract with every reference followed and `nullable` said in JSON Schema's way."""
    text = files("reflexdb.api.spec").joinpath("control-plane.openapi.yaml").read_text("utf-8")
    document = yaml.safe_load(text)
    document["components"]["schemas"]["Backend"]["enum"].append("sqlite")  # our documented addition
    resolved = _resolved(document, document)
    assert isinstance(resolved, dict)
    return resolved


@cache
def served() -> Json:
    """The document that the API serves, with every reference followed."""
    from reflexdb.api.app import routed
    from reflexdb.api.description import openapi

    document = openapi(routed())
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


def every_operation(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Method, path and operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method.upper(), path, operation


def operations() -> Iterator[tuple[str, str, Json]]:
    """Method, path and operation of everything in the contract that is offered."""
    return (each for each in every_operation(contract()) if each[2]["operationId"] not in NOT_SERVED)


def operation_for(document: Json, method: str, path: str) -> Json | None:
    """The operation that a request's path (without /v1) belongs to; literal paths before those with parameters."""
    fitting = [
        (template.count("{"), operation)
        for verb, template, operation in every_operation(document)
        if verb == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]*", template), path)
    ]
    return min(fitting, key=lambda each: each[0])[1] if fitting else None


def check_reply(method: str, path: str, status: int, kind: str, body: Any) -> str | None:
    """Fail unless the reply is one that is documented; the operation's id, where there is one."""
    described = operation_for(served(), method, path)
    if described is None or status in EVERYWHERE:
        check_error(body) if status >= 400 else None
        return None
    _check_documented(described, f"{method} {path}", status, kind, body)
    published = operation_for(contract(), method, path)
    if published is not None and str(status) in published["responses"]:
        _check_documented(published, f"{method} {path}", status, kind, body)
        for media in published["responses"][str(status)].get("content", {}).values():
            lacking = list(_lacking(media["schema"], body, "$")) if kind.startswith("application/json") else []
            assert not lacking, f"documented but not sent: {lacking}"
    if status >= 400:
        check_error(body)
    name: str = described["operationId"]
    return name


def _check_documented(operation: Json, what: str, status: int, kind: str, body: Any) -> None:
    assert str(status) in operation["responses"], f"{what} answered {status}, which is not documented: {body}"
    content = operation["responses"][str(status)].get("content", {})
    if not content:
        assert body == "", f"{what} answered {status} with a body"
        return
    given_kind = kind.partition(";")[0]
    assert given_kind in content, f"{what} answered {status} as {kind!r}, not {' or '.join(content)}"
    if given_kind == "application/json":
        check_value(content[given_kind]["schema"], body)


def check_error(body: Any) -> None:
    assert set(body) == {"error", "message"}
    assert re.fullmatch(r"[a-z_]+", body["error"])
    assert body["message"]


_VALIDATORS: dict[int, tuple[Json, Draft202012Validator]] = {}


def check_value(schema: Json, value: Any) -> None:
    _, validator = _VALIDATORS.setdefault(id(schema), (schema, Draft202012Validator(schema, format_checker=_FORMATS)))
    errors = list(validator.iter_errors(value))
    assert not errors, "\n".join(f"{error.json_path}: {error.message}" for error in errors)


def _lacking(schema: Json, value: Any, where: str) -> Iterator[str]:
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
