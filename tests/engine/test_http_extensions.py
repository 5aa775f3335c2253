"""Parameters and pages as they travel: in the URL and in the header Link."""

from __future__ import annotations

import re
from urllib.parse import quote

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
    assert "link" not in server.ask(post("users(id = 3) { id }")).headers
