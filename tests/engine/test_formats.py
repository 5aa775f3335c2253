"""Other formats than JSON, as clients read them: NDJSON, CSV, Arrow, gzip, and how they are chosen."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pytest

from tests.engine.serving import Answer, Client, Server, get, post, refused, until

pytestmark = pytest.mark.timeout(1800)

NDJSON, CSV, ARROW = "application/x-ndjson", "text/csv", "application/vnd.apache.arrow.stream"
KIND: dict[str, Any] = {
    "id": "all",
    "bool": True,
    "i16": -7,
    "i32": 1 << 30,
    "i64": -(1 << 60),
    "u64": (1 << 64) - 1,
    "f32": 0.5,
    "f64": 0.1,
    "decimal": "-12.340",
    "date": date(2026, 4, 15),
    "datetime": datetime.fromisoformat("2026-04-15T12:00:00.000005"),
    "timestamp": datetime(2026, 4, 15, 12, tzinfo=UTC),
    "time": "12:00:00",
    "text": 'a "b", c\r\nd é',
    "enum": "",
    "uuid": bytes(range(16)),
    "json": '{"a": [1, 2]}',
    "binary": b"\x00\xff",
}
MANY = [{"id": n, "name": f"user {n}", "age": None if n % 3 else n % 90} for n in range(1, 30_001)]


@pytest.fixture(scope="module")
def serving(server_program: Path) -> Iterator[Server]:
    with Server(server_program) as server:
        server.ready()
        server.load({"users": MANY, "kinds": [KIND, {"id": "none"}]})
        yield server


def chunks(client: Client) -> Iterator[bytes]:
    """The pieces of a chunked body, as they come."""
    while piece := client.chunk():
        yield piece


def ask(server: Server, query: str, accept: str, extra: str = "") -> Answer:
    with server.client() as client:
        answer = client.ask(post(query, extra=f"Accept: {accept}\r\n{extra}"))
        if answer.headers.get("transfer-encoding") == "chunked":
            answer.body = b"".join(chunks(client))
        if answer.headers.get("content-encoding") == "gzip":
            answer.body = gzip.decompress(answer.body)
        return answer


def test_ndjson_has_the_rows_of_json_a_line_each(serving: Server) -> None:
    query = "users(id < 4) { id name posts { id } }"
    answer = ask(serving, query, NDJSON)

    assert answer.headers["content-type"] == NDJSON
    until(lambda: "content-length" in ask(serving, query, NDJSON).headers)  # but where it takes a millisecond
    assert [json.loads(line) for line in answer.body.splitlines()] == ask(serving, query, "application/json").json()


@pytest.mark.parametrize(
    "clauses",
    [
        "",
        "(age IS NULL)",
        "(ORDER BY name DESC)",
        "(ORDER BY id DESC LIMIT 9000 OFFSET 5)",
        "(LIMIT 10000 OFFSET 19990)",
        "(id IN (5, 3, 70000))",
        "(ORDER BY boss.name, id DESC)",
        "(LIMIT 0)",
    ],
)
def test_a_long_answer_is_streamed_and_the_same(serving: Server, clauses: str) -> None:
    query = f"users{clauses} {{ id age }}"
    answer = ask(serving, query, NDJSON)

    rows = [json.loads(line) for line in answer.body.splitlines()]
    assert rows == ask(serving, query, "*/*").json()
    if len(answer.body) > 70_000:
        assert "transfer-encoding" in answer.headers
    else:
        until(lambda: "transfer-encoding" not in ask(serving, query, NDJSON).headers)


def test_groups_and_aggregates_come_line_by_line_too(serving: Server) -> None:
    query = "users(GROUP BY age HAVING count() > 1 ORDER BY age LIMIT 5) { age count() sum(id) }"

    rows = [json.loads(line) for line in ask(serving, query, NDJSON).body.splitlines()]
    assert rows == ask(serving, query, "*/*").json()
    assert json.loads(ask(serving, "users { count() }", NDJSON).body) == {"count": 30_000}


def test_csv_is_read_by_a_reader_of_csv(serving: Server) -> None:
    answer = ask(serving, "kinds(id = 'all') { * who: id }", CSV)
    header, row = csv.reader(io.StringIO(answer.body.decode(), newline=""))

    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    values = dict(zip(header, row, strict=True))
    expected = ask(serving, "kinds(id = 'all') { * who: id }", "*/*").json()[0]
    assert list(values) == list(expected)
    for name, value in expected.items():
        text = value if isinstance(value, str) else '{"a": [1, 2]}' if name == "json" else json.dumps(value)
        assert values[name] == ("-12.340" if name == "decimal" else text), name


def test_csv_tells_null_from_empty_text(serving: Server) -> None:
    assert ask(serving, "kinds { id enum text f64 }", CSV).body == (
        b'id,enum,text,f64\r\nall,"","a ""b"", c\r\nd \xc3\xa9",0.1\r\nnone,,,\r\n'
    )
    assert ask(serving, "users(id < 1) { id }", CSV).body == b"id\r\n"
    assert ask(serving, "users(GROUP BY age ORDER BY age NULLS FIRST LIMIT 2) { age n: count() }", CSV).body == (
        b"age,n\r\n,20000\r\n0,333\r\n"
    )


def test_arrow_has_every_type(serving: Server) -> None:
    table = pa.ipc.open_stream(ask(serving, "kinds { * }", ARROW).body).read_all()

    full, empty = table.to_pylist()
    text = {"id": "all", "decimal": "-12.340", "uuid": bytes(range(16))}
    assert full == {**KIND, **text}
    assert empty == {**dict.fromkeys(KIND), "id": "none"}
    types = {field.name: str(field.type) for field in table.schema}
    assert types["u64"] == "uint64"
    assert types["timestamp"] == "timestamp[us, tz=UTC]"
    assert types["uuid"] == "fixed_size_binary[16]"


def test_arrow_has_null_for_infinite_dates(server_program: Path) -> None:
    kinds = [
        {"id": "end", "date": 2**31 - 1, "datetime": 2**63 - 1, "timestamp": 2**63 - 1},
        {"id": "begin", "date": -(2**31), "datetime": -(2**63), "timestamp": -(2**63)},
        {"id": "day", "date": 1, "datetime": 1, "timestamp": 1},
    ]
    with Server(server_program) as server:
        server.ready()
        server.load({"kinds": kinds})
        body = ask(server, "kinds { id date datetime timestamp }", ARROW).body
    rows = {row.pop("id"): row for row in pa.ipc.open_stream(body).read_all().to_pylist()}

    nothing = {"date": None, "datetime": None, "timestamp": None}
    assert rows["begin"] == rows["end"] == nothing
    assert rows["day"]["date"] == date(1970, 1, 2)


def test_csv_readers_see_every_row(serving: Server) -> None:
    for query in ("kinds { text }", "kinds { f64 }"):
        body = ask(serving, query, CSV).body.decode()
        assert len(list(csv.reader(io.StringIO(body, newline="")))) == 3
        assert [line for line in csv.reader(io.StringIO(body, newline="")) if line][2] == [""]


def test_arrow_streams_batches_of_many_rows(serving: Server) -> None:
    body = ask(serving, "users { id name age }", ARROW).body

    reader = pa.ipc.open_stream(body)
    batches = list(reader)
    assert len(batches) > 1
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert rows == MANY


def test_arrow_sums_are_exact(serving: Server) -> None:
    query = "kinds { count() sum(u64) avg(i64) sum(decimal) sum(f64) max(date) min(text) count(f32) }"
    [row] = pa.ipc.open_stream(ask(serving, query, ARROW).body).read_all().to_pylist()

    assert row == {
        "count": 2,
        "sum_u64": Decimal((1 << 64) - 1),
        "avg_i64": str(-(1 << 60)),
        "sum_decimal": "-12.34",
        "sum_f64": 0.1,
        "max_date": date(2026, 4, 15),
        "min_text": KIND["text"],
        "count_f32": 1,
    }


@pytest.mark.parametrize(
    ("query", "accept", "column"),
    [
        ("users { id posts { id } }", CSV, 12),
        ("users { id mine: posts { id } }", ARROW, 12),
        ("users { ... }", CSV, 1),
        ("a: users { id } b: users { id }", NDJSON, 20),
        ("EXPLAIN users { id }", CSV, 1),
        ("EXPLAIN users { id }", NDJSON, 1),
    ],
)
def test_what_has_no_form_in_a_format_is_not_acceptable(serving: Server, query: str, accept: str, column: int) -> None:
    answer = ask(serving, query, accept)

    refused(answer, 406, "not_acceptable")
    assert (answer.json()["line"], answer.json()["column"]) == (1, column)
    assert "application/json" in answer.json()["hint"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "application/json"),
        ("text/html, application/xhtml+xml;q=0.9, */*;q=0.8", "application/json"),
        ("text/*", "text/csv; charset=utf-8; header=present"),
        ("Text/CSV", "text/csv; charset=utf-8; header=present"),
        ("text/csv;q=0.5, application/json;q=0.4", "text/csv; charset=utf-8; header=present"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("application/json;q=0, */*", NDJSON),
        ("application/*;q=0.1, application/x-ndjson;q=0.2", NDJSON),
        ('application/json;v="a,b;q=0"; Q=0.3, application/x-ndjson; q=0.301', NDJSON),
        ("application/json;q=2, application/x-ndjson", NDJSON),
        ("text/csv;q=0.5\r\nAccept: application/x-ndjson", NDJSON),
    ],
)
def test_the_client_chooses_by_weight(serving: Server, accept: str, expected: str) -> None:
    answer = ask(serving, "users(id = 1) { id }", accept)

    assert (answer.status, answer.headers["content-type"]) == (200, expected)
    assert answer.headers["vary"] == "Accept, Accept-Encoding, Authorization"


@pytest.mark.parametrize("accept", ["image/png", "*/*;q=0", "application/json;q=0", "text/html", "text/"])
def test_what_cannot_be_served_is_said(serving: Server, accept: str) -> None:
    refused(ask(serving, "users(id = 1) { id }", accept), 406, "not_acceptable")


def test_a_second_choice_is_taken_where_the_first_has_no_form(serving: Server) -> None:
    answer = ask(serving, "users(id = 1) { posts { id } }", "text/csv, application/json;q=0.1")

    assert (answer.status, answer.json()) == (200, [{"posts": []}])


def test_errors_are_json_whatever_is_accepted(serving: Server) -> None:
    refused(ask(serving, "nothing { id }", CSV), 400, "unknown_table")
    refused(ask(serving, "users {", NDJSON), 400, "syntax_error")


@pytest.mark.parametrize("accept", ["*/*", NDJSON, CSV, ARROW])
@pytest.mark.parametrize("query", ["users(id < 200) { id name }", "users { id name }"])
def test_gzip_holds_the_same_bytes(serving: Server, accept: str, query: str) -> None:
    plain = ask(serving, query, accept)
    small = ask(serving, query, accept, "Accept-Encoding: br, gzip;q=0.5\r\n")

    assert small.headers["content-encoding"] == "gzip"
    assert small.body == plain.body
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize("encoding", ["", "br", "gzip;q=0", "identity, gzip;q=0.5", "*;q=0"])
def test_gzip_is_for_those_who_like_it(serving: Server, encoding: str) -> None:
    extra = f"Accept-Encoding: {encoding}\r\n" if encoding else ""
    assert "content-encoding" not in ask(serving, "users(id < 200) { id name }", "*/*", extra).headers


def test_a_short_answer_is_not_compressed(serving: Server) -> None:
    answer = ask(serving, "users(id = 1) { id }", "*/*", "Accept-Encoding: gzip\r\n")

    assert "content-encoding" not in answer.headers


def test_tags_tell_representations_apart(serving: Server) -> None:
    path = "/query?q=" + quote("users(id < 200) { id name }")
    zipped = "Accept-Encoding: gzip\r\n"
    wanted = [f"Accept: {accept}\r\n{extra}" for accept in ("*/*", NDJSON, CSV, ARROW) for extra in ("", zipped)]
    tags = [serving.ask(get(path, extra)).headers["etag"] for extra in wanted]

    assert len(set(tags)) == len(tags)
    for extra, tag in zip(wanted, tags, strict=True):
        again = serving.ask(get(path, f"{extra}If-None-Match: {tag}\r\n"))
        assert (again.status, again.headers["etag"]) == (304, tag)
    other = serving.ask(get(path, f"Accept: {CSV}\r\nIf-None-Match: {tags[0]}\r\n"))
    assert other.status == 200


def test_a_page_in_another_format_tells_the_next(serving: Server) -> None:
    query = "users(ORDER BY id LIMIT 2 AFTER $after) { id }"
    first = serving.ask(get("/query?after=&q=" + quote(query), f"Accept: {CSV}\r\n"))
    json_link = serving.ask(get("/query?after=&q=" + quote(query))).headers["link"]
    path = first.headers["link"].partition("<")[2].partition(">")[0]

    assert first.headers["link"] == json_link
    assert serving.ask(get("/query" + path, f"Accept: {CSV}\r\n")).body == b"id\r\n3\r\n4\r\n"


def test_a_stream_keeps_its_snapshot_and_a_slow_reader_costs_no_memory(server: Server) -> None:
    version = server.load({"users": MANY})
    with server.client() as client:
        answer = client.ask(post("users { id name email plan verified boss { id } }", extra=f"Accept: {NDJSON}\r\n"))
        pieces = chunks(client)
        first = next(pieces)
        server.load({"users": [{"id": 1}]})
        rest = b"".join(pieces)

        assert answer.headers["x-reflexdb-version"] == str(version)
        assert [json.loads(line)["id"] for line in (first + rest).splitlines()] == [row["id"] for row in MANY]
        assert client.ask(post("users { id }")).json() == [{"id": 1}]


def test_a_stream_for_http_1_0_ends_with_its_connection(serving: Server) -> None:
    with serving.client() as client:
        data = post("users { id }", extra=f"Accept: {NDJSON}\r\n").replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        answer = client.ask(data)

        assert "transfer-encoding" not in answer.headers
        assert len(client.rest().splitlines()) == 30_000


def test_head_of_a_stream_is_the_head_alone(serving: Server) -> None:
    path = "/query?q=" + quote("users { id }")
    with serving.client() as client:
        client.send(get(path, f"Accept: {NDJSON}\r\n").replace(b"GET", b"HEAD", 1))
        head = client.answer(head_only=True)

        assert (head.status, head.headers["transfer-encoding"]) == (200, "chunked")
        assert client.ask(post("users(id = 1) { id }")).json() == [{"id": 1}]


def test_requests_behind_a_stream_are_answered_after_it(serving: Server) -> None:
    with serving.client() as client:
        client.send(post("users { id }", extra=f"Accept: {NDJSON}\r\n") + post("users(id = 7) { id }"))
        client.answer()
        lines = b"".join(chunks(client)).splitlines()

        assert len(lines) == 30_000
        assert client.answer().json() == [{"id": 7}]


def test_a_stream_that_goes_over_a_limit_does_not_end(server_program: Path) -> None:
    with Server(server_program, "--max-rows", "100") as server:
        server.ready()
        posts = [{"id": n, "user_id": 30_000} for n in range(200)]
        server.load({"users": MANY, "posts": posts})
        query = "users { id posts { id } }"
        with server.client() as client:
            client.ask(post(query, extra=f"Accept: {NDJSON}\r\n"))
            with pytest.raises(EOFError):
                list(chunks(client))
        assert ask(server, query, "*/*").status == 422
        assert ask(server, "users(id = 30000) { id posts { id } }", NDJSON).status == 422
