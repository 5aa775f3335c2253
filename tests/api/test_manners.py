"""What clients, proxies and standards expect of any HTTP server, whatever it serves."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from reflexdb.api import serve
from reflexdb.api.strict_head import fault
from tests.api.api import Api
from tests.api.plane import Plane, plane_on

HEAD = b"POST /v1/databases HTTP/1.1\r\nHost: x\r\n"
REFUSED = {
    "bare line feed": b"GET /healthz HTTP/1.1\nHost: x\n\n",
    "bare line feed in fields": b"GET /healthz HTTP/1.1\r\nHost: x\n\r\n",
    "bare line feed at the end": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\n",
    "carriage return in a value": b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
    "folded field": b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "folded with a tab": b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\r\n\tc\r\n\r\n",
    "space before the colon": b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n",
    "length and coding": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": HEAD + b"transfer-encoding: chunked\r\nCONTENT-LENGTH: 3\r\n\r\n0\r\n\r\n",
    "two equal lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "list of lengths": HEAD + b"Content-Length: 1, 1\r\n\r\na",
    "signed length": HEAD + b"Content-Length: +1\r\n\r\na",
    "empty length": HEAD + b"Content-Length:\r\n\r\n",
    "coding twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding in 1.0": b"POST /v1/databases HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded trailer": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, tuple[str, int]]]:
    """A control plane with a real server, and its address."""
    with plane_on(tmp_path_factory.mktemp("plane")) as plane:
        yield started(plane)


def started(plane: Plane) -> tuple[Api, tuple[str, int]]:
    api = plane.start()
    url = httpx.URL(json.loads((plane.data / "control.json").read_text())["url"])
    assert url.port is not None
    return api, (url.host, url.port)


def said(connection: socket.socket, until: bytes = b"") -> bytes:
    """Everything until the other side closes, or until it has said this."""
    connection.settimeout(30)
    text = b""
    while (not until or until not in text) and (chunk := connection.recv(4096)):
        text += chunk
    return text


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
def test_what_two_parsers_could_read_differently_is_refused(
    served: tuple[Api, tuple[str, int]], request_: bytes
) -> None:
    _, address = served
    with socket.create_connection(address) as connection:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        answer = said(connection)

    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 401 "))
    assert answer.startswith(b"HTTP/1.1 400 ") or request_ is REFUSED["folded trailer"]
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in answer or b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nA: \r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"A: b\r\n\r\n",
        b"\r\n",
    ],
)
def test_what_is_to_the_letter_passes(head: bytes) -> None:
    assert fault(head) is None


def test_requests_in_one_packet_are_each_held_to_the_letter(served: tuple[Api, tuple[str, int]]) -> None:
    _, address = served
    good = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(address) as connection:
        connection.sendall(good + good + REFUSED["folded field"])
        answer = said(connection)

    assert re.findall(rb"HTTP/1.1 (\d{3})", answer) == [b"200", b"200", b"400"]


def test_an_idle_connection_stays_longer_than_proxies_keep_it(served: tuple[Api, tuple[str, int]]) -> None:
    _, address = served
    with socket.create_connection(address) as connection:
        for wait_s in (6, 0):  # the framework's own time-out is 5 s
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert said(connection, b"}").startswith(b"HTTP/1.1 200 ")
            time.sleep(wait_s)
    assert serve._KEEP_ALIVE_S > 60


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/v1/openapi.json", "/v1/databases", "/v1/databases/none"])
def test_head_is_get_without_a_body(served: tuple[Api, tuple[str, int]], path: str) -> None:
    api, _ = served
    get, head = (
        api.client.request(method, path, headers={"Authorization": f"Bearer {api.key}"}) for method in ("GET", "HEAD")
    )

    assert head.status_code == get.status_code
    assert head.content == b""
    for name in ("content-type", "content-length", "etag", "cache-control"):
        if name != "content-length" or path != "/metrics":  # which count themselves
            assert head.headers.get(name) == get.headers.get(name), name


def test_head_needs_a_credential_as_get_does(served: tuple[Api, tuple[str, int]]) -> None:
    api, _ = served

    assert api.client.head("/v1/databases").status_code == 401
    assert api.client.head("/v1/connections/test-connection").status_code == 405


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/databases?statsu=failed", 'statsu: there is no such parameter. Did you mean "status"?'),
        ("/databases?limit=1&limit=2", "limit: is given twice"),
        ("/connections?Limit=1", 'Limit: there is no such parameter. Did you mean "limit"?'),
        ("/account?x", "x: there is no such parameter. This operation has none"),
        ("/databases?%00%1b=1", "there is no such parameter"),
        ("/databases?" + "&".join(f"a{n}" for n in range(200)), "more than 100 parameters"),
    ],
)
def test_an_unknown_parameter_is_refused_by_name(api: Api, path: str, named: str) -> None:
    reply = api("GET", path, expect=400)

    assert named in reply.json()["message"]
    assert reply.json()["message"].isprintable()


def test_an_unknown_parameter_changes_nothing(api: Api, database: str) -> None:
    api("DELETE", f"/databases/{database}?dryrun=true", expect=400)
    api("POST", f"/databases/{database}/provision?dry=1", expect=400)

    assert api.get(f"/databases/{database}")["status"] == "registered"


def test_only_who_may_ask_is_told_of_parameters(api: Api) -> None:
    assert api.client.get("/v1/databases?statsu=failed").status_code == 401


def test_a_list_is_followed_behind_a_path_of_a_proxy(api: Api, database: str) -> None:
    for _ in range(2):
        api.post(f"/databases/{database}/api-keys", {"name": "key"}, expect=201)
    link = api("GET", f"/databases/{database}/api-keys?limit=1", expect=200).links["next"]["url"]

    seen = httpx.URL(f"https://proxy.example/reflex/v1/databases/{database}/api-keys?limit=1").join(link)
    assert seen.path == f"/reflex/v1/databases/{database}/api-keys"
    assert dict(seen.params) == {"limit": "1", "cursor": seen.params["cursor"]}
