"""docs/reference/api.md names every operation that the contract has for this release."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.contract import operations

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "api.md").read_text("utf-8")


@pytest.mark.parametrize(("method", "path", "summary"), [(m, p, o["summary"]) for m, p, o in operations()])
def test_the_operation_is_on_the_page(method: str, path: str, summary: str) -> None:
    assert f"| `{method} {path}` — {summary} |" in PAGE
