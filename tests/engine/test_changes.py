"""A snapshot that was changed row by row answers what one loaded with the same rows answers."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reflexdb.sources.changes import Op, Rows
from tests.engine.changing import Model, answers, apply, bodies_of
from tests.engine.harness import Cli
from tests.engine.plans import PLAN, POSTS, USERS


@pytest.fixture
def fresh(program: Path) -> Cli:
    return Cli(program, PLAN)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.sampled_from([6, 25, 200]), st.integers(0, 120))
def test_random_changes_end_where_a_fresh_load_of_the_same_rows_ends(
    cli: Cli, program: Path, seed: int, keys: int, first: int
) -> None:
    model = Model(random.Random(seed))
    for _ in range(first):
        model.change(keys)
    model.take_log()
    cli.load(model.listed())
    other = Cli(program, PLAN)
    try:
        for _ in range(6):
            for _ in range(model.dice.choice([1, 5, 60])):
                model.change(keys)
            apply(cli, model.take_log(), wanted=model.dice.choice([200, 4 << 20]))
            other.load(model.listed())

            assert answers(cli) == answers(other)
            assert cli.facts()["rows"] == other.facts()["rows"]
    finally:
        other.close()
