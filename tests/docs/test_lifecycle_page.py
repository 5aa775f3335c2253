"""docs/explain/lifecycle.md shows the tables of the code."""

from __future__ import annotations

from pathlib import Path

from reflexdb.model import lifecycle, sizes

PAGE = (Path(__file__).parents[2] / "docs" / "explain" / "lifecycle.md").read_text("utf-8")


def test_the_page_has_the_codes_table_of_actions() -> None:
    assert f"\n\n{lifecycle.markdown()}\n\n" in PAGE


def test_the_page_has_the_codes_diagram() -> None:
    assert f"```mermaid\n{lifecycle.mermaid()}\n```" in PAGE


def test_the_page_has_the_codes_table_of_sizes() -> None:
    assert f"\n\n{sizes.markdown()}\n\n" in PAGE


def test_every_status_is_explained() -> None:
    for status in lifecycle.Status:
        assert f"`{status.value}`" in PAGE or f"--> {status.value}" in PAGE
