"""Parameters and pages as they travel: in the URL and in the header Link."""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin

import pytest

from tests.engine.serving import ROWS, Answer, Server, get, post


def post_to(path: str, query: str) -> bytes:
    return post(query).replace(b"POST /query ", f"POST {path} ".encode(), 1)


def following(path: str, answer: Answer) -> str:
    """The path that the answer's link leads to from `path`, as clients resolve it; nothing without a link."""
    link = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
    return urljoin(path, link[1]) if link else ""


def walk(server: Server, path: str, prefix: str = "") -> list[int]:
    """The ids of all pages. Clients see the paths behind `prefix`, as behind a proxy."""
    seen: list[int] = []
    for _ in range(len(ROWS["posts"])):
        answer = server.ask(get(path))
        assert answer.status == 200, answer.body
        seen += [row["id"] for row in answer.json()]
        path = following(prefix + path, answer).removeprefix(prefix)
        if not path:
            return seen
    raise AssertionError("the pages do not end")


def test_parameters_come_from_the_url_of_post_and_get(server: Server) -> None:
    query = "users(name = $the_name AND id = $id) { id }"
    assert server.ask(post_to("/query?id=3&the_name=u%33&utm=x", query)).json() == [{"id": 3}]
    assert server.ask(get("/query?the%5Fname=u3&q=" + quote(query) + "&id=3")).json() == [{"id": 3}]
    assert server.ask(post_to("/query?the_name=u3", query)).json()["error"] == "missing_parameter"
    assert server.ask(post_to("/query?id=3&the_name=%zz", query)).json()["error"] == "bad_request"
    assert server.ask(post_to("/query?id", "users(id = $id) { id }")).json()["error"] == "type_mismatch"
    assert server.ask(post_to("/query?%zz", "users(id = 3) { id }")).json() == [{"id": 3}]


def test_following_the_link_reads_every_row_once(server: Server) -> None:
    query = "posts(ORDER BY user_id DESC LIMIT 90 AFTER $after) { id }"
    path = "/query?after="
    seen: list[int] = []
    while path:
        answer = server.ask(post_to(path, query))
        assert answer.status == 200
        seen += [row["id"] for row in answer.json()]
        path = following(path, answer)

    assert len(seen) == len(set(seen)) == len(ROWS["posts"])


def test_the_link_repeats_the_other_parameters_so_that_it_is_the_next_request(server: Server) -> None:
    query = "posts(id > $least ORDER BY user_id DESC LIMIT 90 AFTER $after) { id }"
    path = "/query?q=" + quote(query) + "&%61fter=&least=%31%30"
    seen: list[int] = []
    while path:
        answer = server.ask(get(path))
        assert answer.status == 200
        seen += [row["id"] for row in answer.json()]
        path = following(path, answer)

    assert sorted(seen) == [row["id"] for row in ROWS["posts"] if row["id"] > 10]


@pytest.mark.parametrize("prefix", ["", "/api/shop"])
def test_plain_pages_follow_themselves(server: Server, prefix: str) -> None:
    for clause in ("", " AFTER ''", " AFTER $next"):
        query = f"posts(user_id > $least ORDER BY user_id LIMIT 90{clause}) {{ id }}"
        seen = walk(server, "/query?least=0&next=&q=" + quote(query), prefix)

        assert sorted(seen) == [row["id"] for row in ROWS["posts"]]


def test_a_page_may_begin_without_a_place(server: Server) -> None:
    query = "posts(ORDER BY id LIMIT 2) { id }"
    first = server.ask(post(query))
    second = server.ask(post_to(following("/query", first), query))

    assert [row["id"] for row in first.json() + second.json()] == [1, 2, 3, 4]
    assert server.ask(post(query)).json() == first.json()
    refused = server.ask(post_to("/query?after=x", query))
    assert (refused.status, refused.json()["error"]) == (400, "type_mismatch")


def test_an_own_use_of_after_is_kept(server: Server) -> None:
    answer = server.ask(post_to("/query?after=3", "posts(id > $after ORDER BY id LIMIT 2) { id }"))

    assert [row["id"] for row in answer.json()] == [4, 5]
    assert "link" not in answer.headers


def test_a_cursor_belongs_to_its_parameters(server: Server) -> None:
    query = "posts(user_id > $least ORDER BY id LIMIT 2) { id }"
    link = following("/query", server.ask(post_to("/query?least=1", query)))

    assert server.ask(post_to(link, query)).status == 200
    assert server.ask(post_to(link.replace("least=1", "least=1&x=2"), query)).status == 200
    refused = server.ask(post_to(link.replace("least=1", "least=2"), query))
    assert (refused.status, refused.json()["error"]) == (400, "type_mismatch")


@pytest.mark.parametrize("others", ["least=1&x=" + "y" * 600, "least=1&x=%3E>"])
def test_a_link_that_cannot_be_followed_is_not_sent(server: Server, others: str) -> None:
    query = "posts(id > $least ORDER BY id LIMIT 2 AFTER $after) { id }"
    answer = server.ask(post_to("/query?after=&" + others, query))

    assert answer.status == 200
    assert "link" not in answer.headers


def test_a_query_that_is_not_read_in_pages_has_no_link(server: Server) -> None:
    assert "link" not in server.ask(post("users(id = 3) { id }")).headers


def test_no_cache_gives_answers_to_others(server: Server) -> None:
    for request in (get("/query?q=users%20%7B%20id%20%7D"), get("/openapi.json")):
        headers = server.ask(request).headers
        assert headers["cache-control"] == "private, no-cache"
        assert "Authorization" in headers["vary"]


@pytest.mark.parametrize(
    "query", ["users { nothing }", "nothing { id }", "users(id = 1 { id }", "users(id = $x) { id }"]
)
def test_an_error_comes_before_preconditions(server: Server, query: str) -> None:
    tag = server.ask(get("/query?q=" + quote("users { id }"))).headers["etag"]
    for condition in (tag, "*"):
        assert server.ask(get("/query?q=" + quote(query), f"If-None-Match: {condition}\r\n")).status == 400
        unchanged = get("/query?q=" + quote("users { id }"), f"If-None-Match: {condition}\r\n")
        assert server.ask(unchanged).status == 304


def test_a_format_without_a_form_is_no_304(server: Server) -> None:
    path = "/query?q=" + quote("users { posts { id } }")
    assert server.ask(get(path, "Accept: text/csv\r\nIf-None-Match: *\r\n")).status == 406


@pytest.mark.parametrize("accept", ["text/html", "*;q=0", "*;q=.0", "*;q=.", "*;q=1.5"])
def test_accept_of_nothing_here_is_refused(server: Server, accept: str) -> None:
    assert server.ask(post("users(id = 3) { id }", extra=f"Accept: {accept}\r\n")).status == 406


@pytest.mark.parametrize(
    "accept",
    [
        "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
        "*",
        "*;q=0.5",
        "text/*, */*",
        "",
        ", ,",
        "application/json;q=0.50000",
    ],
)
def test_accept_as_clients_send_it(server: Server, accept: str) -> None:
    answer = server.ask(post("users(id = 3) { id }", extra=f"Accept: {accept}\r\n"))

    assert answer.status == 200
