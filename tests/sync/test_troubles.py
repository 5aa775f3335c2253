"""What is told of tables in trouble stays small, whatever their names and reasons are."""

from __future__ import annotations

import json

from reflexdb.model.errors import SourceData
from reflexdb.model.storage import Storage
from reflexdb.sync.troubles import TOLD_BYTES, Troubles
from tests.sync.plans import column, plan, table

MANY = plan(*(table("ü" * 60 + str(number), column("id", Storage.I32)) for number in range(300)))


def test_the_status_stays_small_whatever_fails() -> None:
    troubles = Troubles(MANY)
    for index in range(300):
        troubles.failed(index, SourceData("ä" * 5_000))
    told = troubles.told({})
    assert len(json.dumps(told["tables"])) <= TOLD_BYTES
    assert told["tables"]
    assert told["frozen"] == list(range(300))


def test_a_table_rests_longer_after_each_failure() -> None:
    now = [0.0]
    troubles = Troubles(MANY, lambda: now[0])
    troubles.failed(3, SourceData("no"), took_s=2.0)
    now[0] = 17.9
    early = troubles.due()
    now[0] = 18.0
    assert (early, troubles.due()) == (frozenset(), frozenset({3}))
    troubles.mended([3])
    assert troubles.problem() is None
