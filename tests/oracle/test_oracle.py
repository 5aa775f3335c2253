"""Made-up queries agree with the database that the server was loaded from: extensions, types, nulls, ties, relations.

A few hundred each time; `make oracle ORACLE_N=100000` asks more, of one server and one database, and tells the seed. A
case that does not agree is named by seed and index, and `ORACLE_AT=index` asks it alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from reflexdb.build.plan import make_plan
from reflexdb.sources import open_source
from reflexdb.sync import feed
from reflexdb.sync.poll import Poll
from tests.engine.serving import SECRET, Answer, Client, Server, compile_server, get, post
from tests.oracle import world
from tests.oracle.dialects import Oracle, in_json, server, sqlite
from tests.oracle.making import Case, Maker

pytestmark = pytest.mark.timeout(86_400)

COUNT = int(os.environ.get("ORACLE_N", "300"))
SEED = int(os.environ.get("ORACLE_SEED", "20261127"))
AT = os.environ.get("ORACLE_AT")
MOST_PAGES = 200
NEXT = re.compile('<[?]after=([^>&]+)[^>]*>; rel="next"')
AVERAGES_MAY_DIFFER_BY = 1e-4


class Both:
    """The database, and a server loaded from it through its adapter."""

    last: Answer

    def __init__(self, oracle: Oracle, cache: Path, directory: Path) -> None:
        self.oracle = oracle
        with contextlib.closing(open_source(oracle.address)) as source:
            plan = make_plan(source.introspect(oracle.schema), None).plan
        self.server = Server(compile_server(cache, plan=plan))
        poll = Poll(plan, lambda: open_source(oracle.address), directory)
        channel = self.server.channel()
        channel.hello(feed.Role.SYNC, plan.fingerprint())
        poll.load(channel, lambda: True)
        poll.close()
        channel.close()
        self.server.orders.request(feed.keys(SECRET, {"k1": None}))
        self.server.orders.request(feed.serve())
        self.client = Client(self.server.port)

    def ask(self, case: Case, index: int) -> Any:
        """Every third by GET."""
        if case.form == "pages":
            return self.walk(case)
        if index % 3 == 0:
            return self.body(get("/query?" + urlencode({"q": case.query, **case.parameters})), case)
        return self.body(self.posted(case.query, "/query?" + urlencode(case.parameters)), case)

    def walk(self, case: Case) -> list[Any]:
        rows: list[Any] = []
        given = dict(case.parameters)
        for _ in range(MOST_PAGES):
            rows += self.body(self.posted(case.query, "/query?" + urlencode(given)), case)
            found = NEXT.fullmatch(self.last.headers.get("link", ""))
            if found is None:
                return rows
            given["after"] = found[1]
        raise AssertionError(("the pages do not end", case.query))

    @staticmethod
    def posted(query: str, path: str) -> bytes:
        return post(query).replace(b" /query ", f" {path} ".encode(), 1)

    def body(self, request: bytes, case: Case) -> Any:
        self.last = self.client.ask(request)
        assert self.last.status == 200, (case.query, case.parameters, self.last.body)
        return json.loads(self.last.body, parse_float=Decimal, parse_int=Decimal)

    def end(self) -> None:
        self.client.socket.close()
        self.server.__exit__(None, None, None)


@pytest.fixture(params=["sqlite", "mariadb", "postgres"])
def both(request: pytest.FixtureRequest, pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[Both]:
    kind, rows = request.param, world.rows(SEED)
    if kind == "sqlite":
        oracle = sqlite(tmp_path, rows)
    else:
        oracle = server(kind, request.getfixturevalue(f"{kind}_database"), rows)
    running = Both(oracle, pytestconfig.cache.mkdir("engine"), tmp_path)
    yield running
    running.end()


def same(ours: Any, theirs: Any, kind: str) -> bool:
    expected = in_json(theirs, kind)
    if ours is None or expected is None:
        return ours is expected
    if kind == "average":
        return abs(float(ours) - expected) <= max(1.0, abs(expected)) * AVERAGES_MAY_DIFFER_BY
    if isinstance(expected, float):
        return float(ours) == expected
    return bool(ours == expected)


def agrees(case: Case, answer: Any, expected: Any) -> bool:
    if case.form == "single":
        answer = [answer]
    elif case.form == "inner":
        answer = answer[0]["inner"] if answer else []
    elif case.form == "flat":
        answer = [{"key": row["key"], **(row["inner"] or dict.fromkeys(case.names[1:]))} for row in answer]
    if len(answer) != len(expected):
        return False
    for ours, theirs in zip(answer, expected, strict=True):
        if list(ours) != case.names:
            return False
        if not all(map(same, ours.values(), theirs, case.kinds)):
            return False
    return True


def test_made_up_queries_agree(both: Both) -> None:
    answered = 0
    for index in range(COUNT) if AT is None else [int(AT)]:
        case = Maker(both.oracle, SEED, index).case()
        answer, expected = both.ask(case, index), both.oracle.ask(case.sql)
        told = f"seed {SEED}, index {index}\n{case.query}\n{case.parameters}\n{case.sql}\n{answer}\n{expected}"
        assert agrees(case, answer, expected), told
        answered += len(expected) > 0
    assert answered * 2 > COUNT or AT is not None, "too many queries were of nothing"
    print(f"\n{both.oracle.kind}: {COUNT} queries agree, seed {SEED}")
