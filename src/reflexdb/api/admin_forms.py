"""What is sent to and answered by the operator's routes about customers: bodies, answers, and rows as answers.

Used by `api/admin.py` alone.
"""
# ruff: noqa: N815 - the fields are JSON's

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from reflexdb.api.answers import Answer, Id, Time
from reflexdb.api.bodies import Body, Name, left_out
from reflexdb.api.views import Json, instant
from reflexdb.records import rows


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not contain control characters")
    return text


Subject = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable)]


class CreateCustomerBody(Body):
    name: Name


class UpdateCustomerBody(Body):
    name: Name = left_out()
    suspended: bool = left_out()


class CreateLoginBody(Body):
    subject: Subject
    name: Name = left_out()


class Customer(Answer):
    id: Id
    name: str
    plan: str
    createdAt: Time
    suspendedAt: Time | None


class Customers(Answer):
    customers: list[Customer]
    nextCursor: str | None


class Login(Answer):
    id: Id
    customerId: Id
    issuer: str
    subject: str
    name: str
    createdAt: Time
    lastUsedAt: Time | None


def customer(row: rows.Customer) -> Json:
    return {
        "id": row.id,
        "name": row.name,
        "plan": row.plan,
        "createdAt": instant(row.created_at),
        "suspendedAt": instant(row.suspended_at),
    }


def login(row: rows.LoginRow) -> Json:
    return {
        "id": row.id,
        "customerId": row.customer_id,
        "issuer": row.issuer,
        "subject": row.subject,
        "name": row.name,
        "createdAt": instant(row.created_at),
        "lastUsedAt": instant(row.last_used_at),
    }
