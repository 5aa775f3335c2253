"""The client against small HTTP servers that behave badly in one way each."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler

import pytest

from reflexdb.client import ApiError, ClientError, QueryClient, ReflexClient, Unreachable, UnusableKey
from reflexdb.client.transport import is_loopback
from tests.client.serving import send, serving


def breaks_off_twice(handler: BaseHTTPRequestHandler, number: int) -> None:
    if number <= 2:
        handler.close_connection = True
        handler.connection.close()
        return
    send(handler, 200, "[]")


def test_a_get_is_tried_again_when_the_connection_breaks() -> None:
    with serving(breaks_off_twice) as (url, seen), ReflexClient(url, "rmk_a.b") as client:
        assert client.list_databases() == []
        assert len(seen) == 3


def test_a_post_is_sent_once_whatever_happens() -> None:
    with serving(breaks_off_twice) as (url, seen), ReflexClient(url, "rmk_a.b") as client:
        with pytest.raises(Unreachable):
            client.provision("some-id")
        assert len(seen) == 1


def test_a_get_is_tried_again_while_a_proxy_says_not_now() -> None:
    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        send(handler, 503 if number == 1 else 200, "[]")

    with serving(answer) as (url, seen), ReflexClient(url, "rmk_a.b") as client:
        assert client.list_connections() == []
        assert len(seen) == 2


def test_an_error_object_becomes_an_api_error() -> None:
    def answer(handler: BaseHTTPRequestHandler, _number: int) -> None:
        send(handler, 409, '{"error": "conflict", "message": "not now"}')

    with serving(answer) as (url, _), ReflexClient(url, "rmk_a.b") as client, pytest.raises(ApiError) as caught:
        client.rebuild("x")

    assert (caught.value.status, caught.value.code, caught.value.message) == (409, "conflict", "not now")


@pytest.mark.parametrize("body", ["<html>no</html>", "", "[1]", '"text"', '{"detail": 1}'])
def test_an_error_without_an_error_object_keeps_its_status(body: str) -> None:
    def answer(handler: BaseHTTPRequestHandler, _number: int) -> None:
        send(handler, 418, body)

    with serving(answer) as (url, _), ReflexClient(url, "rmk_a.b") as client, pytest.raises(ApiError) as caught:
        client.list_databases()

    assert caught.value.status == 418
    assert "418" in caught.value.message


def test_an_answer_that_is_not_json_is_not_the_product() -> None:
    def answer(handler: BaseHTTPRequestHandler, _number: int) -> None:
        send(handler, 200, "<html>welcome</html>", "text/html")

    with serving(answer) as (url, _), ReflexClient(url, "rmk_a.b") as client, pytest.raises(Unreachable):
        client.list_databases()


def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else() -> None:
    def elsewhere(handler: BaseHTTPRequestHandler, _number: int) -> None:
        send(handler, 200, "[]")

    with serving(elsewhere) as (target, got):

        def answer(handler: BaseHTTPRequestHandler, _number: int) -> None:
            send(handler, 302, "", Location=f"{target}/v1/databases")

        with serving(answer) as (url, _), ReflexClient(url, "rmk_a.b") as client, pytest.raises(ApiError):
            client.list_databases()

        assert got == []


def test_a_log_elsewhere_is_read_without_the_key() -> None:
    def log(handler: BaseHTTPRequestHandler, _number: int) -> None:
        send(handler, 200, "one\ntwo\n", "text/plain")

    with serving(log) as (elsewhere, got), serving(log) as (url, own), ReflexClient(url, "rmk_a.b") as client:
        assert client.read_log(f"{elsewhere}/log") == ["one", "two"]
        assert client.read_log(f"{url}/log") == ["one", "two"]
        assert client.read_log("/log") == ["one", "two"]

        assert got[0].headers["Authorization"] is None
        assert [handler.headers["Authorization"] for handler in own] == ["Bearer rmk_a.b"] * 2


def test_a_log_is_followed_over_broken_connections_without_a_line_lost_or_doubled() -> None:
    texts = ["a\n", "a\nb\nc\n", "a\nb\nc\n", "a\nb\nc\nd\n"]

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 2:
            handler.close_connection = True
            handler.connection.close()
            return
        send(handler, 200, texts[min(number, len(texts)) - 1], "text/plain")

    with serving(answer) as (url, seen), ReflexClient(url, "rmk_a.b") as client:
        lines = list(client.follow_log("/log", lambda: len(seen) >= 3))

    assert lines == ["a", "b", "c", "d"]


@pytest.mark.parametrize("name", ["a/b", "../databases", "a?b=c", "a#b", "%2e%2e", "é", ""])
def test_an_id_is_one_segment_of_the_path_whatever_is_in_it(name: str) -> None:
    def answer(handler: BaseHTTPRequestHandler, _number: int) -> None:
        send(handler, 200, "{}")

    with serving(answer) as (url, seen), ReflexClient(url, "rmk_a.b") as client:
        client.get_database(name)

        path = seen[0].path

    assert path.startswith("/v1/databases/")
    assert path.count("/") == 3
    assert "?" not in path


def test_a_refused_query_carries_its_position() -> None:
    def answer(handler: BaseHTTPRequestHandler, _number: int) -> None:
        send(handler, 400, '{"error":"unknown_field","message":"no nmae","line":1,"column":9,"hint":"name"}')

    with serving(answer) as (url, _), QueryClient(url, "rxk_a.b") as instance, pytest.raises(ApiError) as caught:
        instance.query("users { nmae }")

    assert (caught.value.detail["line"], caught.value.detail["column"], caught.value.detail["hint"]) == (1, 9, "name")


def test_a_query_keeps_every_digit() -> None:
    def answer(handler: BaseHTTPRequestHandler, _number: int) -> None:
        send(handler, 200, '[{"big": 18446744073709551615, "exact": 0.1000000000000000055511151231257827}]')

    with serving(answer) as (url, seen), QueryClient(f"{url}/query", "rxk_a.b") as instance:
        row = instance.query("t { big exact }")[0]

        assert seen[0].path == "/query"

    assert row["big"] == 18446744073709551615
    assert str(row["exact"]) == "0.1000000000000000055511151231257827"


@pytest.mark.parametrize("key", ["rmk a", "rmk_\n", "rmk_\x00", "clé"])
def test_a_key_that_no_header_can_carry_is_refused_before_anything_is_sent(key: str) -> None:
    with pytest.raises(UnusableKey):
        ReflexClient("http://127.0.0.1:1", key)


@pytest.mark.parametrize("url", ["", "localhost:8400", "ftp://host", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ClientError):
        ReflexClient(url, "rmk_a.b")


def test_loopback_is_this_machine_and_nothing_else() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("10.0.0.1", "localhost.example", "127.0.0.1.example", ""))
