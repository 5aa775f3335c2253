"""Laws of every plan, whatever the schema: what the golden files show for a few cases, for all of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexdb.build.findings import MAX_HINTS, MAX_SHOWN
from reflexdb.build.plan import make_plan
from reflexdb.build.selection import MAX_COLUMNS
from reflexdb.model.config import parse_config
from reflexdb.model.errors import InvalidConfig, InvalidSchema
from reflexdb.model.not_served import Cause, NotServed
from reflexdb.model.plan import Plan
from reflexdb.model.schema import ForeignKey, SourceSchema
from reflexdb.model.storage import Storage

from .schemas import blog, column, key, schema, table

NAMES = st.sampled_from(["id", "a", "a_id", "b", "b_id", "c", "A", "_id", "x.y"])
STORAGES = st.sampled_from([Storage.I32, Storage.I64, Storage.TEXT, Storage.JSON, None])
COLUMNS = st.lists(st.builds(column, NAMES, STORAGES), min_size=1, max_size=5, unique_by=lambda one: one.name)
KEYS = st.lists(
    st.builds(
        ForeignKey,
        st.just("fk"),
        st.lists(NAMES, min_size=1, max_size=2, unique=True).map(tuple),
        NAMES,
        st.lists(NAMES, min_size=1, max_size=2, unique=True).map(tuple),
    ),
    max_size=3,
)
TABLES = st.builds(lambda name, columns, keys: table(name, *columns, keys=tuple(keys)), NAMES, COLUMNS, KEYS)
SCHEMAS = st.lists(TABLES, max_size=5, unique_by=lambda one: one.name).map(lambda tables: schema(*tables))
WORDS = st.lists(NAMES, max_size=3, unique=True)
ENTRIES = st.fixed_dictionaries(
    {"name": NAMES},
    optional={
        "alias": NAMES,
        "columns": WORDS,
        "relations": st.sampled_from(["include", "exclude"]).flatmap(lambda kind: st.fixed_dictionaries({kind: WORDS})),
        "reverse_relations": st.fixed_dictionaries({"exclude": WORDS}),
        "field_aliases": st.dictionaries(NAMES, NAMES, max_size=2),
    },
)
CONFIGS = st.lists(ENTRIES, min_size=1, max_size=4, unique_by=lambda entry: str(entry["name"]))


def check(plan: Plan) -> None:
    """What the engine and sync take for granted."""
    assert len({one.name for one in plan.tables}) == len(plan.tables) > 0
    for one in plan.tables:
        visible = [col.name for col in one.columns if col.visible]
        assert len(set(visible)) == len(visible)
        relations = [relation.name for relation in one.forward if relation.visible] + [r.name for r in one.reverse]
        assert len(set(relations)) == len(relations)
        assert all(0 <= position < len(one.columns) for position in one.primary_key)
        for relation in one.forward:
            target = plan.tables[relation.target]
            assert len(relation.columns) == len(relation.target_columns) > 0
            assert all(0 <= position < len(one.columns) for position in relation.columns)
            assert all(0 <= position < len(target.columns) for position in relation.target_columns)
        for reverse in one.reverse:
            assert plan.tables[plan.tables[reverse.child].forward[reverse.forward].target] is one


@given(SCHEMAS, st.none() | CONFIGS)
def test_a_plan_is_sound_or_everything_wrong_is_listed(source: SourceSchema, tables: object) -> None:
    config = parse_config(json.dumps({"version": 1, "tables": tables})) if tables else None
    try:
        planned = make_plan(source, config)
    except (InvalidSchema, InvalidConfig) as exc:
        message = exc.message
    else:
        check(planned.plan)
        assert Plan.from_json(json.loads(json.dumps(planned.plan.to_json()))) == planned.plan
        assert make_plan(source, config) == planned
        return

    assert message


def test_the_order_of_the_file_does_not_change_the_plan() -> None:
    one = parse_config("version: 1\ntables: [{name: users, columns: [id, name]}, {name: posts}]")
    other = parse_config("version: 1\ntables: [{name: posts}, {columns: [name, id], name: users}]")

    assert make_plan(blog(), one).plan.fingerprint() == make_plan(blog(), other).plan.fingerprint()


def test_sync_settings_do_not_change_the_fingerprint_but_everything_else_does() -> None:
    plain = make_plan(blog(), None).plan
    synced = make_plan(blog(), parse_config("version: 1\nsync: {interval: 9}")).plan
    filtered = make_plan(blog(), parse_config("version: 1\nwhere: id > 1")).plan

    assert synced.fingerprint() == plain.fingerprint()
    assert synced != plain
    assert filtered.fingerprint() != plain.fingerprint()


@pytest.mark.parametrize(
    "foreign",
    [
        key("missing", "users"),
        key("a", "users", "missing"),
        key("a", "users", "id,a"),
        ForeignKey("f", (), "users", ()),
    ],
)
def test_a_key_that_makes_no_sense_is_listed(foreign: ForeignKey) -> None:
    planned = make_plan(schema(table("users", "id", "a"), table("posts", "id", "a", keys=(foreign,))), None)

    assert not any(one.forward or one.reverse for one in planned.plan.tables)
    assert [entry.relation for entry in planned.plan.not_served] == [foreign.name]
    assert planned.notes == ()


def test_names_that_are_no_utf8_are_left_out() -> None:
    plan = make_plan(schema(table("a\udcff", "id"), table("b", "id", "c\ud800")), None).plan

    assert [(one.name, [column.name for column in one.columns]) for one in plan.tables] == [("b", ["id"])]
    assert [(entry.table, entry.column, entry.cause) for entry in plan.not_served] == [
        ("a\\udcff", None, Cause.NAME),
        ("b", "c\\ud800", Cause.NAME),
    ]
    assert Plan.from_json(plan.to_json()) == plan


def test_what_the_source_left_out_follows_the_choice() -> None:
    listed = parse_config("version: 1\ntables: [{name: a, columns: [id]}]")
    left = (
        NotServed.of_table("gone", Cause.NO_PRIVILEGE, "No.", "Run."),
        NotServed.of_column("a", "secret", Cause.NO_PRIVILEGE, "No.", "Run."),
    )
    source = replace(schema(table("a", "id"), table("b", "id")), not_served=left)

    assert make_plan(source, None).plan.not_served == tuple(reversed(left))
    assert make_plan(source, listed).plan.not_served == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tables: [{name: gone}]", 'table "gone": No. Run.'),
        ("tables: [{name: a, columns: [id, secret]}]", 'column "secret" of table "a": No. Run.'),
    ],
)
def test_naming_what_cannot_be_read_is_refused(text: str, said: str) -> None:
    left = (
        NotServed.of_table("gone", Cause.NO_PRIVILEGE, "No.", "Run."),
        NotServed.of_column("a", "secret", Cause.NO_PRIVILEGE, "No.", "Run."),
    )
    with pytest.raises(InvalidConfig) as caught:
        make_plan(replace(schema(table("a", "id")), not_served=left), parse_config(f"version: 1\n{text}"))
    assert said in str(caught.value)


def test_a_schema_that_cannot_be_read_names_the_grant() -> None:
    left = tuple(NotServed.of_table(name, Cause.NO_PRIVILEGE, "No.", "") for name in "abcd")
    with pytest.raises(InvalidSchema) as caught:
        make_plan(replace(schema(), not_served=left, grant="GRANT SELECT;"), None)
    assert 'table "a": No' in str(caught.value)
    assert "and 1 more. Run: GRANT SELECT;" in str(caught.value)


def test_fingerprints_leave_out_what_is_not_served() -> None:
    plan = make_plan(schema(table("a", "id")), None).plan
    left = NotServed.of_table("gone", Cause.NO_PRIVILEGE, "No.", "Run.")

    assert replace(plan, not_served=(left,)).fingerprint() == plan.fingerprint()


def test_what_an_image_cannot_count_is_refused() -> None:
    with pytest.raises(InvalidSchema, match="65,536 columns; at most 65,535"):
        make_plan(schema(table("wide", *(f"c{n}" for n in range(MAX_COLUMNS + 1)))), None)


def test_a_thousand_findings_are_cut_to_a_readable_number() -> None:
    tables = [table(f"t{n}", "id", column("g", None, "geometry")) for n in range(1_000)]
    listed = ", ".join(f"{{name: t{n}, columns: [id, g]}}" for n in range(1_000))
    with pytest.raises(InvalidSchema) as caught:
        make_plan(schema(*tables), parse_config(f"version: 1\ntables: [{listed}]"))

    assert len(caught.value.findings) == MAX_SHOWN + 1
    assert caught.value.findings[-1] == "And 900 more."


def test_many_unknown_names_cost_no_more_than_a_few_suggestions() -> None:
    unknown = ", ".join(f"{{name: {'y' * 40}{n}}}" for n in range(2_000))
    source = schema(*(table("y" * 40 + f"x{n}", "id") for n in range(1_000)))
    with pytest.raises(InvalidConfig) as caught:
        make_plan(source, parse_config(f"version: 1\ntables: [{unknown}]"))

    assert "And 1,900 more." in caught.value.message
    assert caught.value.message.count("Did you mean") <= MAX_HINTS


def test_a_reference_of_very_many_dots_is_answered_at_once() -> None:
    config = (
        f"version: 1\ntables: [{{name: users, relations: {{add: [{{column: id, references: {'a.' * 400_000}b}}]}}}}]"
    )
    with pytest.raises(InvalidConfig, match="is included"):
        make_plan(schema(table("users", "id")), parse_config(config))
