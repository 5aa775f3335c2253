"""The operator's operations on the control plane: customers, their keys, and the users that log in for them.

`OperatorClient` is a `ReflexClient` that holds the operator's credential: the operator key of a data directory, or a
token with the operator's group. Used by `reflexdb admin`.
"""

from __future__ import annotations

from typing import Any, TypedDict

from reflexdb.client.control import ReflexClient
from reflexdb.client.evidence_types import SigningKey, StoreDisk
from reflexdb.client.types import ManagementKey

PAGE = 1000


class Customer(TypedDict):
    id: str
    name: str
    plan: str
    createdAt: str
    suspendedAt: str | None


class Login(TypedDict):
    id: str
    customerId: str
    issuer: str
    subject: str
    name: str
    createdAt: str
    lastUsedAt: str | None


class OperatorClient(ReflexClient):
    def list_customers(self) -> list[Customer]:
        """All of them, oldest first."""
        found: list[Customer] = []
        cursor: str | None = None
        while True:
            answer = self._call("GET", "admin", "customers", query={"limit": PAGE, "cursor": cursor})
            found += answer["customers"]
            cursor = answer["nextCursor"]
            if cursor is None:
                return found

    def store_disk_use(self) -> StoreDisk:
        """What all images take of the disk."""
        answer: StoreDisk = self._call("GET", "admin", "disk-use")
        return answer

    def create_customer(self, name: str) -> Customer:
        answer: Customer = self._call("POST", "admin", "customers", body={"name": name})
        return answer

    def get_customer(self, customer_id: str) -> Customer:
        answer: Customer = self._call("GET", "admin", "customers", customer_id)
        return answer

    def update_customer(self, customer_id: str, *, name: str | None = None, suspended: bool | None = None) -> Customer:
        """None leaves as it is."""
        changes = {"name": name, "suspended": suspended}
        body = {field: value for field, value in changes.items() if value is not None}
        answer: Customer = self._call("PATCH", "admin", "customers", customer_id, body=body)
        return answer

    def list_customer_keys(self, customer_id: str) -> list[ManagementKey]:
        answer: list[ManagementKey] = self._call("GET", "admin", "customers", customer_id, "management-keys")
        return answer

    def create_customer_key(self, customer_id: str, name: str, expires_at: str | None = None) -> ManagementKey:
        """The only answer that carries the full key."""
        body = {"name": name} | ({"expiresAt": expires_at} if expires_at else {})
        answer: ManagementKey = self._call("POST", "admin", "customers", customer_id, "management-keys", body=body)
        return answer

    def revoke_customer_key(self, customer_id: str, key_id: str) -> None:
        self._call("DELETE", "admin", "customers", customer_id, "management-keys", key_id)

    def list_logins(self, customer_id: str) -> list[Login]:
        answer: list[Login] = self._call("GET", "admin", "customers", customer_id, "logins")
        return answer

    def create_login(self, customer_id: str, subject: str, name: str | None = None) -> Login:
        """From now on the issuer's user with this `sub` speaks for the customer."""
        body: dict[str, Any] = {"subject": subject} | ({"name": name} if name else {})
        answer: Login = self._call("POST", "admin", "customers", customer_id, "logins", body=body)
        return answer

    def delete_login(self, customer_id: str, login_id: str) -> None:
        self._call("DELETE", "admin", "customers", customer_id, "logins", login_id)

    def rotate_signing_key(self) -> SigningKey:
        """The new key, which signs images from now on."""
        answer: SigningKey = self._call("POST", "admin", "signing-keys")
        return answer

    def remove_signing_key(self, key_id: str) -> None:
        """What this retired key alone has signed can't be deployed any more."""
        self._call("DELETE", "admin", "signing-keys", key_id)
