"""Changes that can't be decoded make their table stale, and no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reflexdb.sources.changes import Stale
from reflexdb.sources.postgres.layout import Layout
from tests.sources.test_postgres_follow import Following, follow

__all__ = ["follow"]
pytestmark = pytest.mark.each_postgres


def test_a_value_that_cannot_be_served_is_named(follow: Callable[..., Following]) -> None:
    one = follow("CREATE TABLE t (id int PRIMARY KEY, at timestamp)")
    one.database.execute("INSERT INTO t VALUES (1, '294276-01-01')")
    one.catch_up()
    (stale,) = one.replica.events
    assert isinstance(stale, Stale)
    assert "Column 'at' of table 't'" in stale.reason
    assert "294246" in stale.reason


def test_a_mistake_of_ours_in_a_row_makes_its_table_stale(
    follow: Callable[..., Following], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = follow("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE other (id int PRIMARY KEY)")
    table = [planned.source_name for planned in one.replica.plan.tables].index("t")
    right = Layout.row

    def row(layout: Layout, *values: Any, **more: Any) -> Any:
        if layout.table == table:
            raise KeyError("a value of the row")
        return right(layout, *values, **more)

    monkeypatch.setattr(Layout, "row", row)
    one.database.execute("INSERT INTO t VALUES (1)")
    one.database.execute("INSERT INTO other VALUES (1)")
    one.catch_up()
    assert one.replica.events == [Stale(table, "a change of it can't be decoded (KeyError)")]
    assert len(one.replica.tables[1 - table]) == 1
