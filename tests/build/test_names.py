"""Names of relations: no schema is refused for names, names are unique, published names keep their meaning."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reflexdb.build.plan import make_plan
from reflexdb.model.config import parse_config
from reflexdb.model.errors import InvalidConfig
from reflexdb.model.nouns import ends_in_table, singulars
from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.model.plan_diff import compare
from reflexdb.model.schema import ForeignKey, SourceSchema, SourceTable
from reflexdb.model.storage import Storage

from .schemas import column, key, schema, table
from .shapes import SHAPES


def planned(source: SourceSchema, config: str = "") -> Plan:
    return make_plan(source, parse_config("version: 1\n" + config) if config else None).plan


def of(plan: Plan, name: str) -> PlannedTable:
    return next(one for one in plan.tables if one.name == name)


def names(plan: Plan, name: str) -> dict[str, str]:
    """Each name of each relation of a table, with what it leads to."""
    found: dict[str, str] = {}
    one = of(plan, name)
    for forward in one.forward:
        if forward.visible:
            to = f"one {plan.tables[forward.target].name} by {one.columns[forward.columns[-1]].source_name}"
            found |= dict.fromkeys((forward.name, *forward.also), to)
    for reverse in one.reverse:
        child = plan.tables[reverse.child]
        to = f"many {child.name} by {child.columns[child.forward[reverse.forward].columns[-1]].source_name}"
        found |= dict.fromkeys((reverse.name, *reverse.also), to)
    return found


def shown(plan: Plan, name: str) -> list[str]:
    """The names that `...` and the description use."""
    one = of(plan, name)
    return [relation.name for relation in one.forward if relation.visible] + [one.name for one in one.reverse]


def check_namespaces(plan: Plan) -> None:
    for one in plan.tables:
        columns = {col.name for col in one.columns if col.visible}
        relations = [(r.name, r.also) for r in one.forward if r.visible] + [(r.name, r.also) for r in one.reverse]
        everything = [name for relation, also in relations for name in (relation, *also)]
        assert len(set(everything)) == len(everything), one.name
        for relation, also in relations:
            assert {relation, *also} - columns, (one.name, relation)


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_a_real_shape_needs_no_configuration(shape: str) -> None:
    plan = planned(SHAPES[shape].source)

    check_namespaces(plan)
    for name, expected in SHAPES[shape].expected.items():
        known = names(plan, name)
        assert {relation: known.get(relation) for relation in expected} == expected


def test_keys_behind_the_table_name_lose_their_ending() -> None:
    plan = planned(SHAPES["chinook"].source)

    assert shown(plan, "Track") == ["Album", "MediaType", "InvoiceLine"]
    assert names(plan, "Track")["AlbumId"] == names(plan, "Track")["Album"]
    assert shown(plan, "Employee") == ["ReportsTo", "Customer", "Employee"]


def test_a_forward_relation_wins_over_a_reverse_one() -> None:
    plan = planned(SHAPES["sakila"].source)

    assert shown(plan, "staff") == ["address", "store", "payment", "rental", "store_by_manager_staff"]


def test_composite_keys_are_named_by_the_differing_column() -> None:
    source = schema(
        table("users", "tenant_id", "id", primary_key=("tenant_id", "id")),
        table(
            "docs",
            "tenant_id",
            "id",
            "created_by",
            "editor_id",
            keys=(
                key("tenant_id,created_by", "users", "tenant_id,id"),
                key("tenant_id,editor_id", "users", "tenant_id,id"),
            ),
        ),
    )
    plan = planned(source)

    assert shown(plan, "docs") == ["users_by_created_by", "users_by_editor"]
    assert shown(plan, "users") == ["docs_by_created_by", "docs_by_editor"]
    assert names(plan, "docs")["created_by"] == names(plan, "docs")["users_by_created_by"]
    assert names(plan, "docs")["editor"] == names(plan, "docs")["users_by_editor"]


def test_one_column_with_two_keys_is_named_by_the_tables() -> None:
    source = schema(
        table("users", "id"),
        table("people", "id"),
        table("posts", "id", "author_id", keys=(key("author_id", "users"), key("author_id", "people"))),
    )

    assert shown(planned(source), "posts") == ["users", "people"]


def test_a_published_name_keeps_its_meaning_beside_new_ones() -> None:
    """The children of a category were `categories` before forward relations had further names."""
    source = schema(table("categories", "id", "parent_no", keys=(key("parent_no", "categories"),)))
    plan = planned(source)

    assert names(plan, "categories")["categories"].startswith("many")
    assert names(plan, "categories")["parent_no"].startswith("one")


def test_excluding_a_relation_gives_its_name_to_the_other() -> None:
    sakila = SHAPES["sakila"].source
    every = "".join(f"  - name: {one.name}\n" for one in sakila.tables if one.name != "staff")
    freed = planned(sakila, f"tables:\n{every}  - {{name: staff, relations: {{exclude: [store]}}}}")
    hidden = planned(sakila, f"tables:\n{every}  - {{name: staff, reverse_relations: {{exclude: [store]}}}}")

    assert (
        names(freed, "staff")["store"]
        == names(freed, "staff")["store_by_manager_staff"]
        == "many store by manager_staff_id"
    )
    assert names(hidden, "staff")["store"] == "one store by store_id"
    assert "store_by_manager_staff" not in names(hidden, "staff")


@pytest.mark.parametrize(
    "tables",
    [
        "[{name: users}, {name: posts, alias: author}]",
        "[{name: users}, {name: posts, field_aliases: {writer: author_id}}]",
        "[{name: users}, {name: posts, field_aliases: {author_id: writer_id}}]",
    ],
)
def test_an_alias_that_clashes_is_refused_with_both_sides(tables: str) -> None:
    source = schema(
        table("users", "id", "author_id", keys=(key("author_id", "users"),)),
        table(
            "posts",
            "id",
            "author_id",
            "author",
            "writer",
            keys=(key("author", "users"), key("author_id", "users"), key("writer", "users")),
        ),
    )
    if "alias: author" in tables:
        source = schema(
            table("users", "id", "author_id", keys=(key("author_id", "users"),)),
            table("posts", "id", "user_id", keys=(key("user_id", "users"),)),
        )
    with pytest.raises(InvalidConfig) as caught:
        planned(source, f"tables: {tables}")

    assert "line 2" in caught.value.message
    sides = caught.value.message.count(" over the key (")
    assert sides == 2 or '"author_id" and "writer"' in caught.value.message


def test_an_unrelated_table_renames_nothing_silently() -> None:
    before = planned(SHAPES["sakila"].source)
    odd = table("store_by_manager_staff", "id", "staff_id", keys=(key("staff_id", "staff", "staff_id"),))
    after = planned(schema(*SHAPES["sakila"].source.tables, odd))
    changes = {(one.kind, one.table, one.name): one.breaking for one in compare(before, after)}

    assert names(after, "staff")["store_by_manager_staff"].startswith("many store_by_manager_staff")
    assert changes["relation.changed", "staff", "store_by_manager_staff"]


def test_another_name_in_wildcard_answers_is_a_breaking_change() -> None:
    sakila = SHAPES["sakila"].source
    before = planned(sakila)
    every = "".join(f"  - name: {one.name}\n" for one in sakila.tables if one.name != "staff")
    after = planned(sakila, f"tables:\n{every}  - {{name: staff, relations: {{exclude: [store]}}}}")
    renamed = [
        (one.table, one.before, one.after, one.breaking) for one in compare(before, after) if one.kind.endswith("d")
    ]

    assert ("staff", "store_by_manager_staff", "store", True) in renamed


def test_a_second_joining_table_is_a_breaking_change() -> None:
    def joined(*names: str) -> SourceSchema:
        keys = (key("post_id", "posts"), key("tag_id", "tags"))
        joins = [table(name, "post_id", "tag_id", keys=keys, primary_key=("post_id", "tag_id")) for name in names]
        return schema(table("posts", "id"), table("tags", "id"), *joins)

    changes = compare(planned(joined("post_tags")), planned(joined("post_tags", "old_tags")))
    removed = {(one.table, one.name) for one in changes if one.kind == "relation.removed" and one.breaking}

    assert removed == {("posts", "tags"), ("tags", "posts")}


_WORDS = ["id", "a", "a_id", "b", "b_id", "aId", "b_by_a", "a_by_b", "a_no", "_id", "as", "A", "...", "*", "order", ""]
_NAMES = st.sampled_from(_WORDS[:-1])


@st.composite
def _sources(draw: st.DrawFn) -> SourceSchema:
    tables = draw(st.lists(_NAMES, min_size=1, max_size=5, unique=True))
    columns = {name: ["id", *draw(st.lists(_NAMES, max_size=5, unique=True))] for name in tables}
    built: list[SourceTable] = []
    for name in tables:
        own = list(dict.fromkeys(columns[name]))
        keys: list[ForeignKey] = []
        for _ in range(draw(st.integers(0, 5))):
            parent = draw(st.sampled_from(tables))
            width = draw(st.integers(1, min(2, len(own), len(set(columns[parent])))))
            from_columns = draw(st.permutations(own))[:width]
            to_columns = list(dict.fromkeys(columns[parent]))[:width]
            keys.append(ForeignKey("fk", tuple(from_columns), parent, tuple(to_columns)))
        built.append(table(name, *(column(one, Storage.I32) for one in own), keys=tuple(keys)))
    return schema(*built)


@settings(max_examples=400, deadline=None)
@given(_sources(), st.integers(0, 1_000))
def test_no_schema_is_refused_for_its_names(source: SourceSchema, seed: int) -> None:
    plan = planned(source)

    check_namespaces(plan)
    assert sum(len(one.forward) for one in plan.tables) == sum(
        len(_distinct(one.foreign_keys)) for one in source.tables
    )
    assert _all_names(plan) == _all_names(planned(_shuffled(source, seed)))


@settings(max_examples=200, deadline=None)
@given(_sources())
def test_a_table_without_keys_renames_no_relation(source: SourceSchema) -> None:
    more = schema(*source.tables, table("zz_log", "id", "a_id"))
    before, after = _all_names(planned(source)), _all_names(planned(more))

    assert {name: found for name, found in after.items() if name != "zz_log"} == before


def _distinct(keys: Sequence[ForeignKey]) -> set[object]:
    return {(one.references, frozenset(zip(one.columns, one.referenced_columns, strict=True))) for one in keys}


def _shuffled(source: SourceSchema, seed: int) -> SourceSchema:
    chance = random.Random(seed)
    return schema(
        *(
            table(
                one.name,
                *one.columns,
                keys=tuple(chance.sample(one.foreign_keys, len(one.foreign_keys))),
                primary_key=one.primary_key,
            )
            for one in source.tables
        )
    )


def _all_names(plan: Plan) -> dict[str, dict[str, str]]:
    return {one.name: names(plan, one.name) for one in plan.tables}


@pytest.mark.parametrize(
    ("plural", "single"),
    [
        ("hosts", "host"),
        ("categories", "category"),
        ("boxes", "box"),
        ("movies", "movie"),
        ("statuses", "status"),
        ("People", "Person"),
        ("order_addresses", "order_address"),
        ("Album", "Album"),
    ],
)
def test_singular_forms_of_table_names(plural: str, single: str) -> None:
    assert single in singulars(plural)


@pytest.mark.parametrize(
    ("stem", "name", "expected"),
    [
        ("Album", "albums", True),
        ("BillToAddress", "Address", True),
        ("proxy_host", "hosts", True),
        ("ghost", "hosts", False),
        ("sales_order", "SalesOrder", True),
        ("SalesOrder", "SalesOrderHeader", False),
        ("", "hosts", False),
    ],
)
def test_a_stem_ends_in_a_table_name_at_a_word(stem: str, name: str, expected: bool) -> None:
    assert ends_in_table(stem, [name]) is expected
