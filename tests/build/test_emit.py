"""The generated unit, compiled for real: what the binary knows is what the plan says, whatever the names are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexdb.build.compile import EngineCompiler
from reflexdb.build.emit import emit, literal
from reflexdb.build.plan import make_plan
from reflexdb.build.process import run
from reflexdb.build.toolchain import find_toolchain
from reflexdb.model.plan import Plan
from reflexdb.model.storage import Storage

from .schemas import column, key, schema, table

HOSTILE = (
    *(
        '"); system("x");//',
        "class",
        "operator",
        "int",
        "??/",
        "??=define X",
        "a\\",
        "\\n",
        "line\nbreak",
        "\r\n",
        "*/",
    ),
    *("\0", "a\0b", "\0007", "😀", "naïve", 'R"(x)"', "%s%n", "with space", " ", "'", "`", "$(x)", "#include <x>"),
    *("x" * 10_000, "😀" * 2_500, "Case", "case", "CASE", "__LINE__", "u8", "\u202e\u2028", "0", "7\0007", "\x7f\x80"),
)


@pytest.fixture(scope="module")
def compiler(engine_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> EngineCompiler:
    return EngineCompiler(
        find_toolchain(tmp_path_factory.mktemp("scratch")), tmp_path_factory.mktemp("cache"), engine_dir
    )


def dumped(plan: Plan, compiler: EngineCompiler, directory: Path) -> list[str]:
    """What the compiled binary says it knows."""
    objects, _ = compiler.objects()
    binary = compiler.link(compiler.compile_unit(emit(plan), directory), objects, directory)
    target = directory / "dump.txt"
    outcome = run(["sh", "-c", f"./{binary.name} --dump > {target.name}"], directory)
    assert outcome.ok, outcome.output
    return target.read_text().splitlines()


def expected(plan: Plan) -> list[str]:
    def text(value: str) -> str:
        return value.encode().hex() + " "

    def numbers(values: tuple[int, ...]) -> str:
        return "[" + "".join(f"{value} " for value in values) + "] "

    lines = [text(plan.schema)]
    for one in plan.tables:
        lines.append(f"table {text(one.name)}{numbers(one.primary_key)}")
        for col in one.columns:
            texts = text(col.name) + text(col.declared_type) + text(col.note)
            lines.append(f"column {texts}{col.storage.value} {col.nullable:d} {col.visible:d}")
        for forward in one.forward:
            ends = f"{numbers(forward.columns)}{forward.target} {numbers(forward.target_columns)}"
            lines.append(f"forward {text(forward.name)}{ends}{forward.visible:d}")
        lines += [f"reverse {text(reverse.name)}{reverse.child} {reverse.forward}" for reverse in one.reverse]
    return lines


def test_hostile_names_arrive_in_the_binary_as_they_are(tmp_path: Path, compiler: EngineCompiler) -> None:
    columns = [column(name, Storage.TEXT, name, comment=name) for name in HOSTILE]
    tables = [table(name, "id", *columns, keys=(key("id", HOSTILE[0]),)) for name in HOSTILE]
    plan = make_plan(schema(*tables), None).plan

    assert dumped(plan, compiler, tmp_path) == expected(plan)


def test_every_storage_has_its_name_in_the_engine(tmp_path: Path, compiler: EngineCompiler) -> None:
    columns = [column(storage.name, storage, storage.name) for storage in Storage]
    plan = make_plan(schema(table("all", *columns)), None).plan

    assert dumped(plan, compiler, tmp_path) == expected(plan)


def test_a_thousand_tables_compile_within_the_limits(tmp_path: Path, compiler: EngineCompiler) -> None:
    names = [f"column {number}" for number in range(19)]
    tables = [table(f"t{n}", "id", *names, keys=(key("column 1", f"t{(n + 1) % 1_000}"),)) for n in range(1_000)]
    plan = make_plan(schema(*tables), None).plan

    assert dumped(plan, compiler, tmp_path) == expected(plan)


@given(st.text(st.characters(codec="utf-8")))
def test_a_literal_is_plain_ascii_and_holds_each_byte(text: str) -> None:
    printed = literal(text)
    inside = "".join(re.findall(r'"([^"]*)"', printed))
    held = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), inside)

    assert printed.isascii()
    assert held.encode("latin-1") == text.encode()
    assert set(printed) <= set('{}" \n_0123456789\\abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ')


def test_equal_plans_print_equal_units_and_different_plans_different_ones() -> None:
    one, same = (make_plan(schema(table("a", "id"), table("b", "id")), None).plan for _ in range(2))
    other = make_plan(schema(table("a", "id")), None).plan

    assert emit(one) == emit(same)
    assert emit(one) != emit(other)
