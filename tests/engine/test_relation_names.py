"""Relations of keys without `_id`: every name that a query may use, and the column that stays in the answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reflexdb.build.plan import make_plan
from reflexdb.model.config import parse_config
from reflexdb.model.storage import Storage
from tests.build.schemas import column, key, schema, table
from tests.engine.harness import Cli, build

TITLE, NAME = column("Title", Storage.TEXT, "text"), column("name", Storage.TEXT, "text")
PLAN = make_plan(
    schema(
        table("Album", "AlbumId", TITLE, primary_key=("AlbumId",)),
        table("Track", "TrackId", "AlbumId", keys=(key("AlbumId", "Album", "AlbumId"),), primary_key=("TrackId",)),
        table("users", "id", NAME, "posts"),
        table("posts", "id", "user", keys=(key("user", "users"),)),
    ),
    parse_config("version: 1"),
).plan
ROWS = {
    "Album": [{"AlbumId": 1, "Title": "One"}],
    "Track": [{"TrackId": 7, "AlbumId": 1}],
    "users": [{"id": 5, "name": "Ada", "posts": 99}],
    "posts": [{"id": 3, "user": 5}],
}


@pytest.fixture(scope="module")
def world(pytestconfig: pytest.Config) -> Iterator[Cli]:
    process = Cli(build(PLAN, pytestconfig.cache.mkdir("engine")), PLAN)
    process.load(ROWS)
    yield process
    process.close()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Track { AlbumId { Title } }", '[{"AlbumId":{"Title":"One"}}]'),
        ("Track { Album { Title } }", '[{"Album":{"Title":"One"}}]'),
        ("Track { AlbumId AlbumId { Title } }", '[{"AlbumId":1,"Album":{"Title":"One"}}]'),
        ("Track { AlbumId { Title } AlbumId }", '[{"Album":{"Title":"One"},"AlbumId":1}]'),
        ("Track { * AlbumId { Title } }", '[{"TrackId":7,"AlbumId":1,"Album":{"Title":"One"}}]'),
        ("Track { * Album { Title } }", '[{"TrackId":7,"AlbumId":1,"Album":{"Title":"One"}}]'),
        ("Track { * AlbumId: AlbumId { Title } }", '[{"TrackId":7,"AlbumId":{"Title":"One"}}]'),
        ("Track { ... }", '[{"TrackId":7,"AlbumId":1,"Album":{"AlbumId":1,"Title":"One"}}]'),
        ("Track { ... AlbumId { Title } }", '[{"TrackId":7,"AlbumId":1,"Album":{"Title":"One"}}]'),
        ("Track { ... AlbumId }", '[{"TrackId":7,"Album":{"AlbumId":1,"Title":"One"},"AlbumId":1}]'),
        ("Track(AlbumId.Title = 'One') { TrackId }", '[{"TrackId":7}]'),
        ("Track(ORDER BY Album.Title) { AlbumId }", '[{"AlbumId":1}]'),
        ("posts { user { name } }", '[{"user":{"name":"Ada"}}]'),
        ("posts { * user { name } }", '[{"id":3,"user":5,"users":{"name":"Ada"}}]'),
        ("posts { * user: user { name } }", '[{"id":3,"user":{"name":"Ada"}}]'),
        ("posts { ... }", '[{"id":3,"user":5}]'),
        ("users { posts { id } }", '[{"posts":[{"id":3}]}]'),
        ("users { posts posts { id } }", '[{"posts":99,"posts_by_user":[{"id":3}]}]'),
    ],
)
def test_a_relation_never_hides_a_column(world: Cli, query: str, expected: str) -> None:
    assert world.raw(query) == (200, expected)


def test_two_relations_under_one_key_are_refused(world: Cli) -> None:
    status, answer = world.ask("Track { AlbumId AlbumId { Title } Album { Title } }")

    assert (status, answer["error"], answer["column"]) == (400, "syntax_error", 35)
