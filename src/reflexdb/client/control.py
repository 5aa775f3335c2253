"""The control plane's operations, one method each, named as the contract names them.

For programs and for the command line, which knows no other way in. Answers are the JSON that travelled, typed by
`reflexdb.client.types`; errors are `ApiError` and `Unreachable`. Waits for nothing: an action returns when it is
accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack
from urllib.parse import quote

from reflexdb.client.builds import Builds
from reflexdb.client.config_types import ConfigCheck, ConfigProposal
from reflexdb.client.types import (
    Accepted,
    Account,
    Adjustment,
    Adjustments,
    ApiKey,
    AuditEntries,
    AuditFilters,
    Connection,
    ConnectionFields,
    CreatedConnection,
    Database,
    DatabaseFields,
    Freshness,
    InstanceStatus,
    ManagementKey,
    TestConnectionResult,
)

TEST_TIMEOUT_S = 120.0


class ReflexClient(Builds):
    """`with ReflexClient("http://127.0.0.1:8400", key) as reflex: reflex.list_databases()`"""

    # Connections

    def list_connections(self) -> list[Connection]:
        answer: list[Connection] = self._call("GET", "connections")
        return answer

    def create_connection(self, **fields: Unpack[ConnectionFields]) -> CreatedConnection:
        answer: CreatedConnection = self._call("POST", "connections", body=fields)
        return answer

    def get_connection(self, connection_id: str) -> Connection:
        answer: Connection = self._call("GET", "connections", connection_id)
        return answer

    def update_connection(self, connection_id: str, **fields: Unpack[ConnectionFields]) -> Connection:
        answer: Connection = self._call("PATCH", "connections", connection_id, body=fields)
        return answer

    def delete_connection(self, connection_id: str) -> None:
        self._call("DELETE", "connections", connection_id)

    def test_connection(self, **fields: Unpack[ConnectionFields]) -> TestConnectionResult:
        """Try credentials that are stored nowhere. A failed test is an answer with `ok` false, not an exception."""
        answer: TestConnectionResult = self._call(
            "POST", "connections", "test-connection", body=fields, timeout=TEST_TIMEOUT_S
        )
        return answer

    def test_stored_connection(self, connection_id: str) -> TestConnectionResult:
        answer: TestConnectionResult = self._call(
            "POST", "connections", connection_id, "test-connection", timeout=TEST_TIMEOUT_S
        )
        return answer

    # Databases

    def list_databases(self) -> list[Database]:
        answer: list[Database] = self._call("GET", "databases")
        return answer

    def register_database(self, **fields: Unpack[DatabaseFields]) -> Database:
        answer: Database = self._call("POST", "databases", body=fields)
        return answer

    def get_database(self, database_id: str) -> Database:
        answer: Database = self._call("GET", "databases", database_id)
        return answer

    def update_database(self, database_id: str, **fields: Unpack[DatabaseFields]) -> Database:
        answer: Database = self._call("PATCH", "databases", database_id, body=fields)
        return answer

    def delete_database(self, database_id: str) -> None:
        self._call("DELETE", "databases", database_id)

    def instance_status(self, database_id: str) -> InstanceStatus:
        answer: InstanceStatus = self._call("GET", "databases", database_id, "instance")
        return answer

    # reflexdb.yaml

    def get_config(self, database_id: str) -> str:
        return self._http.send("GET", f"/v1/databases/{quote(database_id, safe='')}/config", None, None).text

    def put_config(self, database_id: str, text: str) -> None:
        path = f"/v1/databases/{quote(database_id, safe='')}/config"
        self._http.send("PUT", path, text.encode(), "application/yaml")

    def check_config(self, database_id: str, text: str) -> ConfigCheck:
        path = f"/v1/databases/{quote(database_id, safe='')}/config/check"
        answer: ConfigCheck = self._http.send("POST", path, text.encode(), "application/yaml").json()
        return answer

    def propose_config(self, database_id: str) -> ConfigProposal:
        answer: ConfigProposal = self._call("GET", "databases", database_id, "config", "proposal")
        return answer

    def delete_config(self, database_id: str) -> None:
        self._call("DELETE", "databases", database_id, "config")

    # Actions

    def provision(self, database_id: str) -> Accepted:
        return self._act(database_id, "provision")

    def rebuild(self, database_id: str, canary: str | None = None, *, allow_breaking: bool = False) -> Accepted:
        """`canary`: take over in steps of percent:seconds, like 5:60,25:60. `allow_breaking`: tables and columns that
        the source no longer shows may be left out."""
        how = (_strategy(canary) or {}) | ({"allowBreaking": "true"} if allow_breaking else {})
        return self._act(database_id, "rebuild", None, how or None)

    def redeploy(self, database_id: str, build_id: str, canary: str | None = None) -> Accepted:
        """Deploy the stored image of a past build; builds nothing. `canary` as for a rebuild."""
        return self._act(database_id, "redeploy", {"buildId": build_id}, _strategy(canary))

    def promote_deployment(self, database_id: str, deployment_id: str) -> Accepted:
        """End the steps of a canary: its instance takes everything now."""
        answer: Accepted = self._call("POST", "databases", database_id, "deployments", deployment_id, "promote")
        return answer

    def abort_deployment(self, database_id: str, deployment_id: str) -> Accepted:
        """Call off a deployment that is under way; what served before serves everything again."""
        answer: Accepted = self._call("POST", "databases", database_id, "deployments", deployment_id, "abort")
        return answer

    def terminate(self, database_id: str) -> Accepted:
        return self._act(database_id, "terminate")

    def pause(self, database_id: str) -> Accepted:
        return self._act(database_id, "pause")

    def resume(self, database_id: str) -> Accepted:
        return self._act(database_id, "resume")

    def resize(self, database_id: str, instance_size: str) -> Accepted:
        return self._act(database_id, "resize", {"instanceSize": instance_size})

    def reconfigure(self, database_id: str) -> Accepted:
        return self._act(database_id, "reconfigure")

    def reload(self, database_id: str) -> Accepted:
        return self._act(database_id, "reload")

    def pause_replication(self, database_id: str) -> bool:
        """True where the snapshot is frozen now."""
        return bool(self._call("POST", "databases", database_id, "pause-replication")["replication_paused"])

    def resume_replication(self, database_id: str) -> bool:
        """False where changes flow again."""
        return bool(self._call("POST", "databases", database_id, "resume-replication")["replication_paused"])

    def freshness(self, database_id: str) -> Freshness:
        """How the instance follows its source, and whether the database rebuilds by itself."""
        answer: Freshness = self._call("GET", "databases", database_id, "freshness")
        return answer

    def set_auto_rebuild(self, database_id: str, *, enabled: bool) -> Freshness:
        body = {"autoRebuild": enabled}
        answer: Freshness = self._call("PATCH", "databases", database_id, "freshness", body=body)
        return answer

    def _act(self, database_id: str, action: str, body: Any = None, query: Mapping[str, Any] | None = None) -> Accepted:
        answer: Accepted = self._call("POST", "databases", database_id, action, body=body, query=query)
        return answer

    # Keys

    def list_api_keys(self, database_id: str) -> list[ApiKey]:
        answer: list[ApiKey] = self._call("GET", "databases", database_id, "api-keys")
        return answer

    def create_api_key(self, database_id: str, name: str, expires_at: str | None = None) -> ApiKey:
        """The only answer that carries the full key."""
        body = {"name": name} | ({"expiresAt": expires_at} if expires_at else {})
        answer: ApiKey = self._call("POST", "databases", database_id, "api-keys", body=body)
        return answer

    def revoke_api_key(self, database_id: str, key_id: str) -> None:
        self._call("DELETE", "databases", database_id, "api-keys", key_id)

    def list_management_keys(self) -> list[ManagementKey]:
        answer: list[ManagementKey] = self._call("GET", "account", "management-keys")
        return answer

    def create_management_key(self, name: str, expires_at: str | None = None) -> ManagementKey:
        """The only answer that carries the full key."""
        body = {"name": name} | ({"expiresAt": expires_at} if expires_at else {})
        answer: ManagementKey = self._call("POST", "account", "management-keys", body=body)
        return answer

    def revoke_management_key(self, key_id: str) -> None:
        self._call("DELETE", "account", "management-keys", key_id)

    # Audit

    def list_audit(self, **filters: Unpack[AuditFilters]) -> AuditEntries:
        """Newest first; `nextCursor` of an answer asks for what comes after it."""
        answer: AuditEntries = self._call("GET", "audit", query=filters)
        return answer

    # Billing and administration

    def account(self) -> Account:
        """The plan with its limits, and what was used of it."""
        answer: Account = self._call("GET", "account")
        return answer

    def create_checkout_session(self, plan: str) -> str:
        """Where to send the user to pay."""
        return str(self._call("POST", "billing", "checkout", body={"plan": plan})["url"])

    def configure_overage(self, enabled: bool, spending_cap_cents: int | None = None) -> dict[str, Any]:
        body: dict[str, Any] = {"enabled": enabled}
        if spending_cap_cents is not None:
            body["spendingCapCents"] = spending_cap_cents
        answer: dict[str, Any] = self._call("POST", "billing", "overage", body=body)
        return answer

    def adjust_build_credits(
        self, customer_id: str, amount: int, reason: str | None = None, expires_at: str | None = None
    ) -> Adjustment:
        """The adjustment, with `totalAdjustment`: the sum of all that count now."""
        given = {"reason": reason, "expiresAt": expires_at}
        body = {"amount": amount} | {name: value for name, value in given.items() if value}
        answer: Adjustment = self._call("POST", "admin", "customers", customer_id, "build-credits", body=body)
        return answer

    def build_credit_adjustments(self, customer_id: str) -> Adjustments:
        """Newest first."""
        answer: Adjustments = self._call("GET", "admin", "customers", customer_id, "build-credits")
        return answer

    def reset_customer_plan(self, customer_id: str) -> dict[str, Any]:
        """Back to the plan that new accounts get."""
        answer: dict[str, Any] = self._call("DELETE", "admin", "customers", customer_id, "plan")
        return answer

    def update_customer_plan(self, customer_id: str, plan: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._call("PATCH", "admin", "customers", customer_id, "plan", body={"plan": plan})
        return answer


def _strategy(canary: str | None) -> dict[str, str] | None:
    return None if canary is None else {"strategy": "canary", "steps": canary}
