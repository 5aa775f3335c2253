"""Relations proposed from names: which candidates there are, and that the printed file means what it says."""

from __future__ import annotations

import pytest

from reflexdb.build.plan import make_plan
from reflexdb.build.propose import Candidate, Checked, candidates, fragment
from reflexdb.model.config import parse_config
from reflexdb.model.storage import Storage

from .schemas import column, key, schema, table

GLPI = schema(
    table("glpi_users", "id", "entities_id", "users_id_supervisor"),
    table("glpi_entities", "id", "parent_id", column("note_id", Storage.TEXT, "text")),
    table("glpi_tickets", "id", "users_id_recipient", "entities_id", keys=(key("entities_id", "glpi_entities"),)),
    table("glpi_notes", "id"),
)


@pytest.mark.parametrize(
    ("child", "own", "parent"),
    [
        ("glpi_users", "entities_id", "glpi_entities.id"),
        ("glpi_users", "users_id_supervisor", "glpi_users.id"),
        ("glpi_entities", "parent_id", "glpi_entities.id"),
        ("glpi_tickets", "users_id_recipient", "glpi_users.id"),
    ],
)
def test_a_name_suggests_the_table_it_means(child: str, own: str, parent: str) -> None:
    assert Candidate(child, own, *parent.split(".")) in candidates(GLPI)


def test_declared_keys_and_other_types_are_no_candidates() -> None:
    found = {(one.table, one.column) for one in candidates(GLPI)}

    assert ("glpi_tickets", "entities_id") not in found
    assert ("glpi_entities", "note_id") not in found


@pytest.mark.parametrize(
    ("own", "parent"),
    [
        ("user_id", "users"),
        ("users_id", "users"),
        ("userId", "users"),
        ("UserID", "users"),
        ("created_by_user_id", "users"),
        ("category_id", "categories"),
        ("emp_no", "employees"),
        ("user", "users"),
    ],
)
def test_ways_to_write_a_reference(own: str, parent: str) -> None:
    source = schema(
        table("users", "id"),
        table("categories", "id"),
        table("employees", "emp_no", primary_key=("emp_no",)),
        table("posts", "id", own),
    )

    assert [one.parent for one in candidates(source)] == [parent]


@pytest.mark.parametrize("own", ["paid", "xid", "tag_id", "id2", "name"])
def test_other_names_suggest_nothing(own: str) -> None:
    assert candidates(schema(table("users", "id"), table("posts", "id", own))) == []


def test_the_printed_file_makes_the_accepted_relations() -> None:
    source = schema(table("on", "id"), table('po"sts\n', "id", "on_id", "user_id"), table("users", "id"))
    good = Checked(Candidate('po"sts\n', "on_id", "on", "id"), 100, 100)
    bad = Checked(Candidate('po"sts\n', "user_id", "users", "id"), 100, 3)
    text = fragment([good, bad])
    plan = make_plan(source, parse_config(text)).plan

    assert [relation.name for one in plan.tables for relation in one.forward] == ["on"]
    assert "3 of 100 values found" in text


def test_a_file_without_proposals_can_be_stored() -> None:
    assert parse_config(fragment([])).overrides == ()
