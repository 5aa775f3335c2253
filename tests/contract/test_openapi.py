"""The description that is served has everything the contract documents for what this release offers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reflexdb.api.app import create_app
from reflexdb.control.local import open_control
from reflexdb.control.rooms import Settings
from tests.contract.contract import operations

OPERATIONS = list(operations())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    from starlette.testclient import TestClient

    directory: Path = tmp_path_factory.mktemp("data")
    control = open_control(directory, Settings(base_url="http://127.0.0.1:8400"), "127.0.0.1")
    document: dict[str, Any] = TestClient(create_app(control)).get("/v1/openapi.json").json()
    control.rooms.store.close()
    return document


def fields(schema: dict[str, Any], document: dict[str, Any], at: str = "") -> Iterator[str]:
    """Every field that a schema mentions, by its path."""
    if "$ref" in schema:
        target = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    for option in (*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from fields(option, document, at)
    if "items" in schema:
        yield from fields(schema["items"], document, f"{at}[]")
    for name, part in schema.get("properties", {}).items():
        yield f"{at}.{name}"
        yield from fields(part, document, f"{at}.{name}")


def found(served: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    operation: dict[str, Any] = served["paths"][path][method.lower()]
    return operation


@pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=[each[2]["operationId"] for each in OPERATIONS]
)
def test_every_operation_is_described_with_its_answers(
    served: dict[str, Any], method: str, path: str, operation: dict[str, Any]
) -> None:
    described = found(served, method, path)

    assert described["operationId"] == operation["operationId"]
    assert described["summary"] == operation["summary"]
    assert set(operation["responses"]) <= set(described["responses"])
    assert "422" not in described["responses"]


@pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=[each[2]["operationId"] for each in OPERATIONS]
)
def test_every_documented_field_is_described(
    served: dict[str, Any], method: str, path: str, operation: dict[str, Any]
) -> None:
    described = found(served, method, path)
    pairs = [(operation.get("requestBody", {}), described.get("requestBody", {}))]
    pairs += [(answer, described["responses"][status]) for status, answer in operation["responses"].items()]

    for wanted, given in pairs:
        for kind, media in wanted.get("content", {}).items():
            missing = set(fields(media["schema"], served)) - set(fields(given["content"][kind]["schema"], served))
            missing -= {each for each in missing if each.startswith((".actions.", ".database."))}  # open objects
            assert not missing


def test_the_description_says_how_to_log_in(served: dict[str, Any]) -> None:
    assert served["security"] == [{"bearerAuth": []}]
    assert served["servers"] == [{"url": "/v1"}]
