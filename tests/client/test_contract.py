"""The client has a method for every operation of the contract, which sends that operation's method and path."""

from __future__ import annotations

import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from reflexdb.client import ReflexClient
from tests.client.serving import send, serving
from tests.contract.contract import contract

ID, KEY = "2f1c0b1e-0000-4000-8000-000000000001", "k1"

CALLS: dict[str, Callable[[ReflexClient], Any]] = {
    "listDatabases": lambda c: c.list_databases(),
    "registerDatabase": lambda c: c.register_database(connectionId=ID, name="n", mysqlDb="s"),
    "getDatabase": lambda c: c.get_database(ID),
    "updateDatabase": lambda c: c.update_database(ID, name="m"),
    "deleteDatabase": lambda c: c.delete_database(ID),
    "getInstanceStatus": lambda c: c.instance_status(ID),
    "listBuilds": lambda c: c.list_builds(ID),
    "provisionDatabase": lambda c: c.provision(ID),
    "rebuildDatabase": lambda c: c.rebuild(ID),
    "redeployBuild": lambda c: c.redeploy(ID, ID),
    "terminateInstance": lambda c: c.terminate(ID),
    "pauseInstance": lambda c: c.pause(ID),
    "resumeInstance": lambda c: c.resume(ID),
    "resizeInstance": lambda c: c.resize(ID, "small"),
    "reconfigureInstance": lambda c: c.reconfigure(ID),
    "reloadSnapshot": lambda c: c.reload(ID),
    "pauseReplication": lambda c: c.pause_replication(ID),
    "resumeReplication": lambda c: c.resume_replication(ID),
    "getSchemaConfig": lambda c: c.get_config(ID),
    "putSchemaConfig": lambda c: c.put_config(ID, "version: 1\n"),
    "deleteSchemaConfig": lambda c: c.delete_config(ID),
    "listApiKeys": lambda c: c.list_api_keys(ID),
    "createApiKey": lambda c: c.create_api_key(ID, "n", "2030-01-01T00:00:00Z"),
    "revokeApiKey": lambda c: c.revoke_api_key(ID, KEY),
    "listConnections": lambda c: c.list_connections(),
    "createConnection": lambda c: c.create_connection(name="n", mysqlHost="h", availableSchemas=["s"]),
    "getConnection": lambda c: c.get_connection(ID),
    "updateConnection": lambda c: c.update_connection(ID, name="m"),
    "deleteConnection": lambda c: c.delete_connection(ID),
    "testConnection": lambda c: c.test_connection(mysqlHost="h", mysqlUser="u", mysqlPassword="p"),
    "testStoredConnection": lambda c: c.test_stored_connection(ID),
    "listManagementKeys": lambda c: c.list_management_keys(),
    "createManagementKey": lambda c: c.create_management_key("n"),
    "revokeManagementKey": lambda c: c.revoke_management_key(ID),
    "createCheckoutSession": lambda c: c.create_checkout_session("pro"),
    "configureOverage": lambda c: c.configure_overage(True, 500),
    "adjustBuildCredits": lambda c: c.adjust_build_credits(ID, 5, "thanks"),
    "updateCustomerPlan": lambda c: c.update_customer_plan(ID, "pro"),
}


def operations() -> dict[str, tuple[str, str]]:
    """Operation id to method and path."""
    found = {}
    for path, item in contract()["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, dict) and "operationId" in operation:
                found[operation["operationId"]] = (method.upper(), path)
    return found


def test_every_operation_has_its_method() -> None:
    assert set(CALLS) == set(operations())


@pytest.mark.parametrize("operation", sorted(CALLS))
def test_a_method_sends_the_operations_method_and_path_with_the_key(operation: str) -> None:
    method, path = operations()[operation]

    def answer(handler: BaseHTTPRequestHandler, _number: int) -> None:
        send(handler, 200, '{"url": "https://example.com", "replication_paused": true}')

    with serving(answer) as (url, seen), ReflexClient(url, "rmk_a.b") as client:
        CALLS[operation](client)

    assert len(seen) == 1
    assert seen[0].command == method
    assert re.fullmatch("/v1" + re.sub(r"\{[^}]+\}", "[^/]+", path), seen[0].path)
    assert seen[0].headers["Authorization"] == "Bearer rmk_a.b"
