"""Laws of reflexdb.yaml beyond the golden cases in tests/build/golden/config.txt."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexdb.model.config import SchemaConfig, parse_config
from reflexdb.model.document import MAX_BYTES
from reflexdb.model.errors import InvalidConfig

YAML_PIECES = st.sampled_from(
    (
        *"{}[]:,-?&*!|>'\"%@`#\\ \t\n\r",
        *(
            "version: 1\n",
            "tables:\n",
            "  - name: users\n",
            "---\n",
            "...\n",
            "<<: ",
            "\0",
            "columns: [id]",
            "&a ",
            "*a",
        ),
        *("relations: {include: [a]}", "!!str ", "2026-01-01", ".nan", "0x1", "\u2028", "\ud800", "\\ud800"),
    )
)


def test_every_key_of_the_reference_is_read_with_its_place() -> None:
    config = parse_config("version: 1\ntables:\n  - name: users\n    alias: people\n    field_notes: {email: Login}\n")
    assert config.tables is not None
    table = config.tables[0]

    assert (table.name.text, table.name.at.line, table.name.at.column) == ("users", 3, 11)
    assert table.alias is not None
    assert table.alias.text == "people"
    assert [(column.text, note.text) for column, note in table.field_notes] == [("email", "Login")]


def test_a_file_that_only_has_a_version_changes_nothing() -> None:
    assert parse_config("version: 1") == SchemaConfig()
    assert parse_config("\ufeffversion: 1\r\n") == SchemaConfig()


def test_quoted_names_may_hold_anything_yaml_can_escape() -> None:
    config = parse_config(r'{"version": 1, "tables": [{"name": "a\0\n\"😀\U0001F600"}]}')
    assert config.tables is not None
    assert config.tables[0].name.text == 'a\0\n"😀😀'


@given(st.lists(st.one_of(YAML_PIECES, st.text(max_size=20)), max_size=60).map("".join))
def test_any_text_is_a_configuration_or_an_invalid_configuration(text: str) -> None:
    try:
        parse_config(text)
    except InvalidConfig as exc:
        error = exc
    else:
        return

    assert error.line >= 1
    assert error.column >= 1
    assert f"line {error.line}, column {error.column}" in error.message
    assert error.message.isprintable()


@given(st.dictionaries(st.text(string.ascii_letters, min_size=1, max_size=8), st.integers(), min_size=1))
def test_unknown_keys_are_always_named(keys: dict[str, int]) -> None:
    unknown = {key: value for key, value in keys.items() if key not in {"version", "where", "tables", "sync"}}
    text = "version: 1\n" + "".join(f'"{key}": {value}\n' for key, value in unknown.items())
    if not unknown:
        return

    with pytest.raises(InvalidConfig, match=f'no key "{next(iter(unknown))}"'):
        parse_config(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#" * (MAX_BYTES + 1), "at most 1,048,576"),
        ("version: 1\nwhere: " + "[" * 100_000, "nesting is deeper"),
        ("version: 1\na: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]", "Anchors and aliases"),
        ("&a [*a]", "Anchors and aliases"),
        ("version: 1\ntables: [" + "{name: x}," * 80_000 + "]", "more than 200,000 values"),
        ("version: 1\nwhere: a\0b", "U\\+0000"),
        ("version: 1\nwhere: \ud800", "U\\+D800"),
    ],
)
def test_what_could_grow_is_bounded(text: str, reason: str) -> None:
    with pytest.raises(InvalidConfig, match=reason):
        parse_config(text)


def test_the_parser_without_the_c_library_says_no_to_the_same_files(monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    monkeypatch.setattr("reflexdb.model.document._LOADER", yaml.SafeLoader)
    for text in (
        "version: 1\nversion: 1",
        "a: &a b",
        "[" * 100,
        "version: 1\ntables:\n\t- name: x",
        "version: 1\n{",
        "",
    ):
        with pytest.raises(InvalidConfig):
            parse_config(text)

    assert parse_config("version: 1\nsync: {interval: 2}").sync.interval_s == 2.0
