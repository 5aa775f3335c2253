"""Parameters and pages as they travel: in the URL and in the header Link."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from tests.engine.serving import ROWS, Server, get, post


def post_to(path: str, query: str) -> bytes:
    return post(query).replace(b"POST /query ", f"POST {path} ".encode(), 1)


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
        link = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
        path = link[1] if link else ""

    assert len(seen) == len(set(seen)) == len(ROWS["posts"])


def test_the_link_repeats_the_other_parameters_so_that_it_is_the_next_request(server: Server) -> None:
    query = "posts(id > $least ORDER BY user_id DESC LIMIT 90 AFTER $after) { id }"
    path = "/query?q=" + quote(query) + "&%61fter=&least=%31%30"
    seen: list[int] = []
    while path:
        answer = server.ask(get(path))
        assert answer.status == 200
        seen += [row["id"] for row in answer.json()]
        link = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
        path = link[1] if link else ""

    assert sorted(seen) == [row["id"] for row in ROWS["posts"] if row["id"] > 10]


@pytest.mark.parametrize("others", ["least=1&x=" + "y" * 600, "least=1&x=%3E>"])
def test_what_might_end_the_link_or_is_too_long_is_not_repeated(server: Server, others: str) -> None:
    query = "posts(id > $least ORDER BY id LIMIT 2 AFTER $after) { id }"
    link = server.ask(post_to("/query?after=&" + others, query)).headers.get("link", "")

    assert not link or re.fullmatch(r'</query\?after=[^&<>"]+>; rel="next"', link)


def test_a_query_that_is_not_read_in_pages_has_no_link(server: Server) -> None:
    assert "link" not in server.ask(post("users(id = 3) { id }")).headers
