"""Queries about build credits: what each build was charged, and the adjustments of an account's allowance.

Called by control; every function runs in the caller's transaction. An adjustment is added and never changed, which the
database itself holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Tx
from sqlalchemy import case, func, insert, or_, select, update

from reflexdb.records.billing_tables import build_charges as charges
from reflexdb.records.billing_tables import credit_adjustments as adjustments
from reflexdb.records.rows import AdjustmentRow, noun


@dataclass(frozen=True, slots=True)
class Used:
    """What the builds of one month were charged, without what was given back."""

    credits: int
    overage_cents: int


def used(tx: Tx, customer_id: str, month: str) -> Used:
    query = select(
        func.coalesce(func.sum(case((charges.c.overage_cents == 0, 1), else_=0)), 0),
        func.coalesce(func.sum(charges.c.overage_cents), 0),
    ).where(charges.c.customer_id == customer_id, charges.c.month == month, charges.c.refunded_at.is_(None))
    in_credits, cents = tx.execute(query).one()
    return Used(int(in_credits), int(cents))


def charge(tx: Tx, **values: Any) -> None:
    tx.execute(insert(charges).values(**values))


def refund(tx: Tx, build_id: str, now: datetime) -> None:
    """Nothing where the build was not charged, or has its charge back already."""
    held = (charges.c.build_id == build_id, charges.c.refunded_at.is_(None))
    tx.execute(update(charges).where(*held).values(refunded_at=now))


def move(tx: Tx, build_id: str, to: str) -> None:
    """Another build stands for this one."""
    tx.execute(update(charges).where(charges.c.build_id == build_id).values(build_id=to))


def adjust(tx: Tx, **values: Any) -> None:
    tx.execute(insert(adjustments).values(**values))


def total_adjustment(tx: Tx, customer_id: str, now: datetime) -> int:
    """The sum of all that have not expired."""
    in_force = or_(adjustments.c.expires_at.is_(None), adjustments.c.expires_at > now)
    query = select(func.coalesce(func.sum(adjustments.c.amount), 0)).where(
        adjustments.c.customer_id == customer_id, in_force
    )
    return int(tx.execute(query).scalar_one())


def adjustments_of(tx: Tx, customer_id: str, limit: int) -> list[AdjustmentRow]:
    """Newest first."""
    rows = tx.execute(
        select(adjustments)
        .where(adjustments.c.customer_id == customer_id)
        .order_by(adjustments.c.created_at.desc(), adjustments.c.id)
        .limit(limit)
    )
    return [noun(AdjustmentRow, row) for row in rows]
