"""Golden files: schemas, configurations, plans, findings and C++ as text a person can review.

A file holds cases, `== title` each, with sections `[schema]`, `[config]` (inputs) and `[plan]`, `[findings]`, `[cpp]`
(expected, in this order where present). A schema is written as

    table users                     or `view users`
      id i32 int pk                 name, storage, declared type, then any of: pk, null; a comment behind ` -- `
      shape - geometry null         `-` is an unsupported type
      key author_id,x -> users id,y
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.model.schema import Backend, ForeignKey, SourceColumn, SourceSchema, SourceTable
from reflexdb.model.storage import Storage

EXPECTED = ("plan", "findings", "cpp")


@dataclass
class Case:
    title: str
    sections: dict[str, str] = field(default_factory=dict)


def read(path: Path) -> list[Case]:
    cases: list[Case] = []
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            cases.append(Case(line[3:].strip()))
        elif re.fullmatch(r"\[(schema|config|plan|findings|cpp)\]", line):
            section = line[1:-1]
            cases[-1].sections[section] = ""
        elif cases:
            cases[-1].sections[section] = cases[-1].sections.get(section, "") + line + "\n"
    for case in cases:
        case.sections = {name: text.strip("\n") + "\n" for name, text in case.sections.items()}
    return cases


def write(path: Path, cases: list[Case]) -> None:
    blocks = [
        "\n".join([f"== {case.title}", *(f"[{name}]\n{text}" for name, text in case.sections.items())])
        for case in cases
    ]
    path.write_text("\n".join(blocks), encoding="utf-8")


def schema(text: str) -> SourceSchema:
    tables = [_table(block) for block in re.split(r"\n(?=table |view )", text.strip()) if block.strip()]
    return SourceSchema(Backend.POSTGRES, "public", "15", tuple(sorted(tables, key=lambda table: table.name)))


def _table(block: str) -> SourceTable:
    head, *lines = block.splitlines()
    kind, name = shlex.split(head, comments=False)[:2]
    columns: list[SourceColumn] = []
    primary: list[str] = []
    keys: list[ForeignKey] = []
    for line in lines:
        body, _, comment = line.partition(" -- ")
        words = shlex.split(body)
        if words[0] == "key":
            keys.append(ForeignKey(f"fk{len(keys)}", tuple(words[1].split(",")), words[3], tuple(words[4].split(","))))
            continue
        storage = None if words[1] == "-" else Storage[words[1].upper()]
        flags = words[3:]
        columns.append(SourceColumn(words[0], words[2], storage, "null" in flags, comment.strip()))
        primary += [words[0]] if "pk" in flags else []
    return SourceTable(name, tuple(columns), tuple(primary), foreign_keys=tuple(keys), is_view=kind == "view")


def show(plan: Plan, notes: tuple[str, ...]) -> str:
    lines = [line for table in plan.tables for line in _shown(table, plan)]
    if plan.sync != type(plan.sync)():
        lines.append(f"sync {plan.sync}")
    lines += [f"not served: {entry.line()} [{entry.cause}]" for entry in plan.not_served]
    return "\n".join([*lines, *(f"note: {note}" for note in notes)]) + "\n"


def _shown(table: PlannedTable, plan: Plan) -> list[str]:
    head = f"{'view' if table.is_view else 'table'} {table.source_name}"
    head += f" as {table.name}" if table.name != table.source_name else ""
    head += f" where {table.where}" if table.where else ""
    lines = [head]
    for index, column in enumerate(table.columns):
        marks = [f"{index}", column.source_name, column.storage.name.lower(), column.declared_type]
        marks += ["pk"] if index in table.primary_key else []
        marks += ["null"] if column.nullable else []
        marks += [] if column.visible else ["hidden"]
        marks += [f"as {column.name}"] if column.name != column.source_name else []
        lines.append("  " + " ".join(marks) + (f" -- {column.note}" if column.note else ""))
    for relation in table.forward:
        target = plan.tables[relation.target].source_name
        hidden = "" if relation.visible else " hidden"
        also = _also(relation.also)
        lines.append(
            f"  forward {relation.name} {relation.columns} -> {target} {relation.target_columns}{hidden}{also}"
        )
    for reverse in table.reverse:
        child = plan.tables[reverse.child]
        key = child.forward[reverse.forward]
        lines.append(f"  reverse {reverse.name} <- {child.source_name}.{key.name}{_also(reverse.also)}")
    lines += [f"  index {index}" for index in table.indexes]
    return lines


def _also(names: tuple[str, ...]) -> str:
    return f" also {', '.join(names)}" if names else ""
