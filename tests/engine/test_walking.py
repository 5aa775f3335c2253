"""The shortest way through: rows in, an answer out."""

from __future__ import annotations

from tests.engine.harness import Cli


def test_rows_that_were_loaded_are_answered(cli: Cli) -> None:
    cli.load({"users": [{"id": 2, "name": "Zoë"}, {"id": 1, "name": 'a "b"\n'}]})

    assert cli.raw("users { id name }") == (200, '[{"id":1,"name":"a \\"b\\"\\n"},{"id":2,"name":"Zoë"}]')
