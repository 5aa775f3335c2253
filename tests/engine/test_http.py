"""HTTP as clients meet it: engine/doc/http.md in tests. Each law names the promise it holds the server to."""

from __future__ import annotations

import json
import re
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import jsonschema
import pytest

from tests.engine.plans import PLAN
from tests.engine.serving import (
    Client,
    Server,
    api_key,
    get,
    open_descriptors,
    post,
    refused,
    until,
    wait_readable,
)

pytestmark = pytest.mark.timeout(1200)

QUERY = "users(id = 3) { id name }"
ROW = [{"id": 3, "name": "u3"}]


def test_a_query_is_answered_with_the_version_and_age_of_its_snapshot(server: Server) -> None:
    answer = server.ask(post(QUERY))

    assert (answer.status, answer.json()) == (200, ROW)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-reflexdb-version"] == str(server.version)
    assert int(answer.headers["x-reflexdb-snapshot-age-ms"]) >= 0
    assert "date" in answer.headers


def test_the_same_query_can_be_asked_in_the_url(server: Server) -> None:
    answer = server.ask(get("/query?x=1&q=" + quote(QUERY)))

    assert (answer.status, answer.json()) == (200, ROW)
    assert server.ask(get("/query?q=users(id+=+3)+%7Bid%20name}")).json() == ROW


def test_head_answers_the_head_of_get(server: Server) -> None:
    path = "/query?q=" + quote(QUERY)
    with server.client() as client:
        client.send(get(path).replace(b"GET", b"HEAD", 1))
        head = client.answer(head_only=True)
        full = client.ask(get(path))

    assert head.status == 200
    assert head.headers["content-length"] == full.headers["content-length"] == str(len(full.body))


@pytest.mark.parametrize("query", ["", "?", "?Q=a", "?q=%zz", "?q=%4", "?q=a&q=b"])
def test_a_url_without_one_readable_query_is_refused(server: Server, query: str) -> None:
    refused(server.ask(get("/query" + query)), 400, "bad_request")


@pytest.mark.parametrize("encoded", ["%ff", "users%00{id}", "%ed%a0%80", "users(name%3d%22%c3%28%22){id}"])
def test_bytes_that_are_no_text_cost_an_error_answer_only(server: Server, encoded: str) -> None:
    with server.client() as client:
        answer = client.ask(get("/query?q=" + encoded))
        after = client.ask(post(QUERY))

    refused(answer, 400, answer.json()["error"])
    assert after.json() == ROW


def test_a_tag_answers_304_until_the_next_snapshot(server: Server) -> None:
    path = "/query?q=" + quote(QUERY)
    tag = server.ask(get(path)).headers["etag"]

    unchanged = server.ask(get(path, f"If-None-Match: {tag}\r\n"))
    server.load()
    changed = server.ask(get(path, f"If-None-Match: {tag}\r\n"))

    assert (unchanged.status, unchanged.body) == (304, b"")
    assert (changed.status, changed.json()) == (200, ROW)


@pytest.mark.parametrize("path", ["/", "/queries", "/query/", "/Query", "//query", "/..%2fquery"])
def test_other_paths_are_not_found(server: Server, path: str) -> None:
    refused(server.ask(get(path)), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("PUT", "/query", "GET, HEAD, POST"), ("POST", "/health", "GET, HEAD"), ("OPTIONS", "/metrics", "GET, HEAD")],
)
def test_other_methods_are_told_which_are_allowed(server: Server, method: str, path: str, allow: str) -> None:
    answer = server.ask(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())

    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allow


def test_a_post_without_a_length_is_told_so(server: Server) -> None:
    bearer = f"Authorization: Bearer {api_key()}\r\n"

    refused(server.ask(f"POST /query HTTP/1.1\r\nHost: x\r\n{bearer}\r\n".encode()), 411, "length_required")


def test_a_chunked_body_is_joined(server: Server) -> None:
    head = post("").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    body = b"".join(b"1;x=y\r\n%c\r\n" % byte for byte in QUERY.encode()) + b"0\r\nTrailer: x\r\n\r\n"

    assert server.ask(head + body).json() == ROW


def test_a_request_may_come_byte_by_byte(server: Server) -> None:
    with server.client() as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post(QUERY):
            client.send(bytes([byte]))

        assert client.answer().json() == ROW


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    with server.client() as client:
        sender = threading.Thread(
            target=client.send, args=(b"".join(post(f"users(id = {i % 100 + 1}) {{ id }}") for i in range(2000)),)
        )
        sender.start()
        answers = [client.answer().json() for _ in range(2000)]
        sender.join()

    assert answers == [[{"id": i % 100 + 1}] for i in range(2000)]


def test_expect_100_is_continued_only_for_a_body_that_will_be_read(server: Server) -> None:
    with server.client() as client:
        request = post(QUERY, extra="Expect: 100-continue\r\n")
        head, body = request[: -len(QUERY)], request[-len(QUERY) :]

        assert client.ask(head).status == 100
        assert client.ask(body).json() == ROW
    with server.client() as client:
        refused(client.ask(head.replace(b"rxk_", b"xxx_")), 401, "unauthorized")
        assert client.is_closed()
    with server.client() as client:
        refused(client.ask(head.replace(b"Content-Length: 2", b"Content-Length: 200000")), 413, "query_too_large")


def test_a_client_may_close_its_half_after_asking(server: Server) -> None:
    with server.client() as client:
        client.send(post(QUERY) * 3)
        client.socket.shutdown(socket.SHUT_WR)

        assert [client.answer().json() for _ in range(3)] == [ROW] * 3
        assert client.is_closed()


def test_half_a_request_and_a_close_leave_nothing_behind(server: Server) -> None:
    request = post(QUERY)
    before = open_descriptors(server.process.pid)
    for cut in range(0, len(request), 7):
        with server.client() as client:
            client.send(request[:cut])

    until(lambda: open_descriptors(server.process.pid) <= before)
    assert server.ask(request).json() == ROW


def test_a_connection_closes_where_asked(server: Server) -> None:
    with server.client() as client:
        assert client.ask(post(QUERY, extra="Connection: close\r\n")).headers["connection"] == "close"
        assert client.is_closed()
    with server.client() as client:
        assert client.ask(b"GET /ready HTTP/1.0\r\n\r\n").headers["connection"] == "close"
        assert client.is_closed()


def test_what_follows_a_refused_request_is_not_read_as_a_request(server: Server) -> None:
    with server.client() as client:
        client.send(
            b"POST /query HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n" + get("/ready")
        )

        refused(client.answer(), 400, "bad_request")
        assert client.is_closed()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_100_mb_is_refused_at_its_limit(server: Server, chunked: bool) -> None:
    size = 100_000_000
    head = post("", extra="Transfer-Encoding: chunked\r\n").replace(b"Content-Length: 0\r\n", b"")
    if not chunked:
        head = post("").replace(b"Content-Length: 0", f"Content-Length: {size}".encode())
    piece = b"#" * (1 << 20)
    frame = f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if chunked else piece
    with server.client() as client:
        client.send(head)
        try:
            for _ in range(size // len(piece)):
                client.send(frame)
        except (BrokenPipeError, ConnectionResetError):
            pass

        refused(client.answer(), 413, "query_too_large")
    assert server.ask(post(QUERY)).json() == ROW


@pytest.fixture
def hasty(server_program: Path) -> Iterator[Server]:
    """A server with short limits of time."""
    limits = ["--header-timeout-ms", "300", "--idle-timeout-ms", "600", "--write-timeout-ms", "400"]
    with Server(server_program, *limits) as running:
        yield running.ready()


def test_a_head_that_trickles_in_is_cut_off(hasty: Server) -> None:
    with hasty.client() as client:
        for byte in get("/ready", "A: " + "a" * 10_000 + "\r\n"):
            try:
                client.send(bytes([byte]))
            except (BrokenPipeError, ConnectionResetError):
                break
            if wait_readable(client.socket, 0.005):
                break

        refused(client.answer(), 408, "request_timeout")
        assert client.is_closed()


def test_a_body_that_never_ends_is_cut_off(hasty: Server) -> None:
    with hasty.client() as client:
        client.send(post(QUERY)[:-1])

        refused(client.answer(), 408, "request_timeout")
        assert client.is_closed()


def test_silence_is_closed(hasty: Server) -> None:
    with hasty.client() as client:
        assert client.ask(post(QUERY)).status == 200
        assert client.is_closed()
    with hasty.client() as client:
        assert client.is_closed()


def many_rows(count: int) -> dict[str, list[dict[str, object]]]:
    return {"users": [{"id": i, "name": "n" * 1000} for i in range(count)]}


def test_a_client_that_does_not_read_is_let_go_and_holds_up_nobody(hasty: Server) -> None:
    hasty.load(many_rows(20_000))
    with hasty.client() as client:
        client.send(post("users { * }") * 5)
        until(lambda: b"reflexdb_pending_bytes 0\n" not in hasty.ask(get("/metrics")).body)
        assert hasty.ask(post("users(id = 3) { id }")).json() == [{"id": 3}]
        until(lambda: b"reflexdb_pending_bytes 0\n" in hasty.ask(get("/metrics")).body)


def test_a_slow_reader_gets_every_byte_of_every_pipelined_answer(server: Server) -> None:
    server.load(many_rows(5_000))
    with server.client() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
        client.send(post("users { * }") * 3 + post("users(id = 3) { id }"))
        until(lambda: b"reflexdb_pending_bytes 0\n" not in server.ask(get("/metrics")).body)
        answers = [client.answer() for _ in range(4)]

    assert answers[0].body == answers[1].body == answers[2].body
    assert len(answers[0].json()) == 5_000
    assert answers[3].json() == [{"id": 3}]


def test_more_connections_than_the_limit_are_refused(server_program: Path) -> None:
    with Server(server_program, "--max-connections", "3").ready() as server:
        clients = [server.client() for _ in range(3)]
        for client in clients:
            assert client.ask(get("/ready")).status == 200
        refused(server.ask(get("/ready")), 503, "overloaded")
        for client in clients:
            client.socket.close()

        until(lambda: server.ask(get("/ready")).status == 200)


def test_resets_leave_no_descriptor_behind(server: Server) -> None:
    before = open_descriptors(server.process.pid)
    for _ in range(50):
        with server.client() as client:
            client.send(post("posts { ... }"))
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    until(lambda: open_descriptors(server.process.pid) <= before)


def test_health_and_metrics_need_no_key_and_reveal_no_names(server: Server) -> None:
    health = server.ask(get("/health", key="")).json()
    metrics = server.ask(get("/metrics", key=""))

    told = (health["status"], health["rows"], health["version"], health["swapCount"])
    assert told == ("ok", 600, server.version, 1)
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    for name in (b"users", b"posts", b"u3", b"k1", b"here"):
        assert name not in metrics.body
        assert name not in json.dumps(health).encode()
    assert server.ask(get("/ready", key="")).status == 200


def test_metrics_count_requests_and_queries(server: Server) -> None:
    with server.client() as client:
        for _ in range(5):
            client.ask(post(QUERY))
        client.ask(get("/nowhere"))
        text = client.ask(get("/metrics")).body.decode()

    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert values['reflexdb_requests_total{status="200"}'] == "5"
    assert values['reflexdb_requests_total{status="404"}'] == "1"
    assert values["reflexdb_query_seconds_count"] == values['reflexdb_query_seconds_bucket{le="+Inf"}'] == "5"
    assert int(values["reflexdb_plan_cache_hits_total"]) + int(values["reflexdb_plan_cache_misses_total"]) == 5
    assert values["reflexdb_snapshot_rows"] == "600"


def test_openapi_describes_every_visible_field_and_relation(server: Server) -> None:
    refused(server.ask(get("/openapi.json", key="")), 401, "unauthorized")
    document = server.ask(get("/openapi.json")).json()

    assert document["openapi"].startswith("3.1")
    assert document["x-notServed"] == [entry.to_json() for entry in PLAN.not_served]
    answers = document["paths"]["/query"]["post"]["responses"]
    assert {"application/json", "text/csv", "text/event-stream"} < set(answers["200"]["content"])
    assert "406" in answers
    posts = next(table for table in document["components"]["schemas"].values() if table.get("title") == "posts")
    assert posts["properties"]["tags"]["description"].startswith("Related rows through post_tags.")
    schemas = document["components"]["schemas"]
    for index, table in enumerate(PLAN.tables):
        schema = schemas[f"table{index}"]
        assert schema["title"] == table.name
        for column in table.columns:
            assert (column.name in schema["properties"]) is column.visible
        for relation in [r.name for r in table.forward] + [r.name for r in table.reverse]:
            assert relation in schema["properties"]
    assert schemas["table0"]["properties"]["id"]["type"] == "integer"
    assert schemas["table0"]["properties"]["name"]["type"] == ["string", "null"]
    assert "id" not in schemas["table7"]["properties"]
    rows = server.ask(post("users { * }")).json()
    jsonschema.Draft202012Validator({**document, "$ref": "#/components/schemas/table0"}).validate(rows[0])


def test_with_a_key_metrics_tell_of_each_table(server: Server) -> None:
    text = server.ask(get("/metrics")).body.decode()

    assert 'reflexdb_table_rows{table="users"} 100\n' in text
    for part in ("values", "texts", "key", "links"):
        found = re.search(rf'^reflexdb_table_memory_bytes{{table="posts",part="{part}"}} (\d+)$', text, re.MULTILINE)
        assert found
        assert int(found[1]) > 0 or part == "key"  # consecutive keys are computed, not kept


@pytest.mark.timeout(600)
def test_ten_thousand_silent_clients_keep_none_of_a_thousand_from_an_answer(server_program: Path) -> None:
    needed = 12_000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"only {hard} descriptors are allowed")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    clients: list[Client] = []
    try:
        with Server(server_program, "--header-timeout-ms", "500000", "--idle-timeout-ms", "500000") as running:
            running.ready()
            clients = [Client(running.port) for _ in range(11_000)]
            for client in clients[::11]:
                client.send(post("users(id = 7) { id }"))

            assert all(client.answer().status == 200 for client in clients[::11])
            assert running.ask(get("/health", key="")).json()["connections"] == 11_001
            for client in clients:
                client.socket.close()
    finally:
        for client in clients:
            client.socket.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
