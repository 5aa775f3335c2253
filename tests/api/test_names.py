"""Names, domains and ids that try to be something else; and two that want the same one at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import update

from reflexdb.control.control import Control
from reflexdb.records.tables import customers
from tests.api.api import Api
from tests.crash.invariants import everything_in

TRAVERSING = [
    "../../escape",
    "..",
    "/etc/passwd",
    "a/../../b",
    "..\\..\\b",
    "%2e%2e%2fb",
    "name\n../x",
    "\u202egnp.exe",
]
LOOK_ALIKES = [
    "аpple",  # a Cyrillic letter
    "ａｐｐｌｅ",
    "apple\u200b",
    "K",  # the sign for kelvin, whose small letter is k
    "ſhop",
    "APPLE",
    "apple.example",
    "apple/..",
    "apple\n",
    "xn--pple-43d",
    "ab--c",
    "-apple",
    "a" * 64,
]


@pytest.mark.parametrize("name", TRAVERSING)
def test_a_name_is_data_and_never_a_path(api: Api, database: str, control: Control, name: str) -> None:
    before = everything_in(control.rooms.data_dir.parent)
    connection_id = api.get("/connections")[0]["id"]
    made = api.post("/databases", {"connectionId": connection_id, "name": name, "mysqlDb": "main"}, expect=201)
    api("PATCH", f"/databases/{database}", {"tags": [{"label": name[:30]}]}, expect=200)

    assert made["name"] == name
    assert everything_in(control.rooms.data_dir.parent) == before


@pytest.mark.parametrize("name", TRAVERSING)
def test_an_id_that_is_none_names_nothing(api: Api, database: str, name: str) -> None:
    text = quote(name, safe="")

    for path in (f"/databases/{text}", f"/databases/{database}/builds/{text}/log", f"/connections/{text}"):
        reply = api.client.get(f"/v1{path}", headers={"Authorization": f"Bearer {api.key}"})
        assert reply.status_code == 404, path


@pytest.mark.parametrize("domain", LOOK_ALIKES)
def test_a_domain_that_could_be_taken_for_another_is_refused(
    api: Api, database: str, control: Control, domain: str
) -> None:
    with control.rooms.store.write() as tx:
        tx.execute(update(customers).values(plan="enterprise"))
    reply = api("PATCH", f"/databases/{database}", {"reflexdbCustomDomain": domain}, expect=400)

    assert "reflexdbCustomDomain" in reply.json()["message"]
    assert api("PATCH", f"/databases/{database}", {"reflexdbCustomDomain": "ap-ple"}, expect=200).is_success


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/databases", {"name": "{n}", "binlogServerId": 7}),
        ("/databases", {"name": "same"}),
        ("/connections", {"name": "same"}),
    ],
    ids=["binlogServerId", "a database's name", "a connection's name"],
)
def test_of_two_that_want_the_same_at_once_one_gets_it(
    api: Api, database: str, path: str, body: dict[str, Any]
) -> None:
    connection_id = api.get("/connections")[0]["id"]
    gate = Barrier(2)
    base: dict[str, Any] = {"connectionId": connection_id, "mysqlDb": "main"}
    if path == "/connections":
        base = {"backend": "sqlite", "mysqlHost": "/nowhere.db", "availableSchemas": ["main"]}

    def make(number: int) -> int:
        gate.wait(10)
        return api("POST", path, {**base, **body, "name": body["name"].format(n=number)}).status_code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(make, range(2))) == [201, 409]
