"""The description that is served is the contract: nothing of it is missing, and nothing is different but what is named
here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.contract import NOT_SERVED, contract, every_operation, operation_for, operations, served
from tests.contract.shapes import differences, shape

OPERATIONS = list(operations())
NAMES = [each[2]["operationId"] for each in OPERATIONS]
PUBLISHED = {operation["operationId"] for _, _, operation in every_operation(contract())}

SERVER_ID = "maximum 4294967295, not None"
DIFFERENT: dict[str, dict[str, str]] = {
    "registerDatabase": {f"body.binlogServerId: {SERVER_ID}": "no MySQL server takes a larger one"},
    "updateDatabase": {
        f"body.binlogServerId: {SERVER_ID}": "no MySQL server takes a larger one",
        "body.tags[].color: maxLength 30, not None": "whatever can grow has a limit; it is the label's",
    },
    "createConnection": {
        "body.syncInterval: minimum 1, not 5": "--min-sync-interval decides, and is 5 where the operator says nothing",
        f"body.instance.binlogServerId: {SERVER_ID}": "no MySQL server takes a larger one",
        "body.mysqlPort: default None, not 3306": "it depends on the backend, which the contract leaves out",
    },
    "updateConnection": {
        "body.syncInterval: minimum 1, not 5": "--min-sync-interval decides, and is 5 where the operator says nothing"
    },
    "testConnection": {
        "body.mysqlPort: default None, not 3306": "it depends on the backend, which the contract leaves out"
    },
}
"""By operation, what differs and why it must. A line that is no longer true fails."""


def test_everything_of_the_contract_is_served_but_what_is_listed_as_missing() -> None:
    offered = {operation["operationId"] for _, _, operation in every_operation(served())}

    assert PUBLISHED - offered == NOT_SERVED, "keep NOT_SERVED in contract.py to what is really missing"


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=NAMES)
def test_an_operation_is_described_as_published(method: str, path: str, operation: dict[str, Any]) -> None:
    described = operation_for(served(), method, path)

    assert described is not None
    assert path in served()["paths"]
    assert described["operationId"] == operation["operationId"]
    assert described["summary"] == operation["summary"]
    assert set(operation["responses"]) <= set(described["responses"])
    assert set(found(operation, described, path)) == set(DIFFERENT.get(operation["operationId"], ()))


def found(operation: dict[str, Any], described: dict[str, Any], path: str) -> Iterator[str]:
    body, given = operation.get("requestBody"), described.get("requestBody")
    if (body is None) != (given is None):
        yield "body: missing" if given is None else "body: not in the contract"
    elif body is not None and given is not None:
        if body.get("required") != given.get("required"):
            yield "body: required differs"
        yield from media(body, given, "body", answer=False)
    for status, wanted in operation["responses"].items():
        yield from media(wanted, described["responses"][status], status, answer=True)
    mandatory = {each["name"] for each in described.get("parameters", ()) if each.get("required")}
    published = {each["name"] for each in contract()["paths"][path].get("parameters", ())}
    if mandatory != published:
        yield f"parameters {sorted(mandatory)}, not {sorted(published)}"


def media(wanted: dict[str, Any], given: dict[str, Any], at: str, *, answer: bool) -> Iterator[str]:
    if wanted.get("content", {}).keys() != given.get("content", {}).keys():
        yield f"{at}: {sorted(given.get('content', {}))}, not {sorted(wanted.get('content', {}))}"
        return
    for kind, part in wanted.get("content", {}).items():
        yield from differences(shape(part["schema"]), shape(given["content"][kind]["schema"]), at, answer=answer)


def test_the_description_says_how_to_log_in() -> None:
    assert served()["security"] == [{"bearerAuth": []}]
    assert served()["servers"] == [{"url": "/v1"}]


def test_every_link_leads_to_an_operation_with_the_parameters_it_needs() -> None:
    by_name = {operation["operationId"]: operation for _, _, operation in every_operation(served())}
    links = [
        link
        for operation in by_name.values()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]

    assert len(links) > 20
    for link in links:
        needed = {each["name"] for each in by_name[link["operationId"]].get("parameters", ()) if each.get("required")}
        assert set(link["parameters"]) == needed
