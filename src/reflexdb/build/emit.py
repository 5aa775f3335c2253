"""The checked plan as `schema.gen.cc`: the only C++ that differs between images (engine/doc/header.md).

Called by the builders after planning. Pure and deterministic: equal plans print equal bytes. Everything from the
source is a string literal in which only letters, digits, `_` and space stand for themselves; identifiers are made of
positions. It refuses to know compilers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reflexdb.model.folding import Folding, FoldKind
from reflexdb.model.not_served import MAX_KEPT, NotServed
from reflexdb.model.plan import ForwardRelation, Plan, PlannedColumn, PlannedTable, ReverseRelation
from reflexdb.model.storage import Storage

LITERAL_BYTES_PER_LINE = 64
_INTERVAL = re.compile(r"interval(?![^ (])")
_FOLD_KINDS = {FoldKind.SAME: "kSame", FoldKind.SHIFTED: "kShifted", FoldKind.MANY: "kMany"}
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_ ")
_CHARACTERS = [chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in range(256)]

_HEAD = """\
// Constant tables of one image, printed by reflexdb from the checked plan; do not edit.
// Plan {fingerprint}
// clang-format off
#include "schema.h"

namespace reflex {{
namespace {{

using namespace std::string_view_literals;
"""

_TAIL = """
constexpr SchemaDef definition = {{
    {name},
    {{{fingerprint}}},
    {tables},
    {not_served},
}};

}}  // namespace

const SchemaDef& schema() {{ return definition; }}

}}  // namespace reflex
"""


def emit(plan: Plan) -> str:
    """The whole text of the unit."""
    fingerprint = plan.fingerprint()
    parts = [_HEAD.format(fingerprint=fingerprint.hex())]
    parts += [_folding_parts(index, folding) for index, folding in enumerate(plan.foldings)]
    parts += [_table_parts(index, table) for index, table in enumerate(plan.tables)]
    parts.append(_array("TableDef", "tables", [_table_row(index, table) for index, table in enumerate(plan.tables)]))
    left_out = [_not_served_row(entry) for entry in plan.not_served[:MAX_KEPT]]
    parts.append(_array("NotServedDef", "not_served", left_out))
    parts.append(
        _TAIL.format(
            name=literal(plan.schema),
            fingerprint=", ".join(f"0x{byte:02x}" for byte in fingerprint),
            tables="tables" if plan.tables else "{}",
            not_served="not_served" if plan.not_served else "{}",
        )
    )
    return "".join(parts)


def literal(text: str) -> str:
    """A `std::string_view` of the text's UTF-8 bytes; the suffix counts them, so NUL is a byte like any other.

    Planning has refused names that are no UTF-8; in declared types and notes, which are only shown, `?` stands in.
    """
    data = text.encode("utf-8", "replace")
    if not data:
        return "{}"
    lines = [data[start : start + LITERAL_BYTES_PER_LINE] for start in range(0, len(data), LITERAL_BYTES_PER_LINE)]
    quoted = [f'"{"".join(_CHARACTERS[byte] for byte in line)}"' for line in lines]
    separator = "\n        " if len(quoted) > 1 else ""
    return separator + separator.join(quoted) + "sv"


def _folding_parts(index: int, folding: Folding) -> str:
    name = f"folding{index}"
    folds = [
        f"{fold.first}, {fold.last}, {fold.to}, {fold.count}, FoldDef::Kind::{_FOLD_KINDS[fold.kind]}"
        for fold in folding.folds
    ]
    flags = f"{_bool(folding.pads)}, {folding.blank()}, {_bool(folding.hangul)}"
    elements = f"{name}_elements" if folding.elements else "{}"
    spans = f"{f'{name}_folds' if folds else '{}'}, {elements}, {name}_ascii"
    return "".join(
        (
            _array("FoldDef", f"{name}_folds", folds),
            _numbers(f"{name}_elements", folding.elements, "uint32_t"),
            _numbers(f"{name}_ascii", folding.ascii(), "uint32_t"),
            f"\nconstexpr FoldingDef {name} = {{{literal(folding.name)}, {spans}, {flags}}};\n",
        )
    )


def _table_parts(index: int, table: PlannedTable) -> str:
    prefix = f"t{index}"
    parts = [
        _array("ColumnDef", f"{prefix}_columns", [_column_row(column) for column in table.columns]),
        _numbers(f"{prefix}_primary_key", table.primary_key),
    ]
    for position, relation in enumerate(table.forward):
        parts.append(_numbers(f"{prefix}_f{position}_columns", relation.columns))
        parts.append(_numbers(f"{prefix}_f{position}_target_columns", relation.target_columns))
        parts.append(_texts(f"{prefix}_f{position}_also", relation.also))
    rows = [_forward_row(f"{prefix}_f{position}", relation) for position, relation in enumerate(table.forward)]
    parts.append(_array("ForwardDef", f"{prefix}_forward", rows))
    parts += [_texts(f"{prefix}_r{position}_also", relation.also) for position, relation in enumerate(table.reverse)]
    reverse = [_reverse_row(f"{prefix}_r{position}", relation) for position, relation in enumerate(table.reverse)]
    parts.append(_array("ReverseDef", f"{prefix}_reverse", reverse))
    return "".join(parts)


def _column_row(column: PlannedColumn) -> str:
    texts = ", ".join(literal(text) for text in (column.name, column.declared_type, column.note))
    flags = ", ".join(_bool(flag) for flag in (column.nullable, column.visible, column.in_star))
    folding = "nullptr" if column.folding is None else f"&folding{column.folding}"
    return f"{texts}, Storage::{_kept_as(column)}, {flags}, {folding}"


def _forward_row(prefix: str, relation: ForwardRelation) -> str:
    columns = f"{prefix}_columns, {relation.target}, {prefix}_target_columns"
    return f"{literal(relation.name)}, {columns}, {_bool(relation.visible)}, {_also(prefix, relation.also)}"


def _reverse_row(prefix: str, relation: ReverseRelation) -> str:
    return f"{literal(relation.name)}, {relation.child}, {relation.forward}, {_also(prefix, relation.also)}"


def _also(prefix: str, names: Sequence[str]) -> str:
    return f"{prefix}_also" if names else "{}"


def _table_row(index: int, table: PlannedTable) -> str:
    parts: Iterable[tuple[str, Sequence[object]]] = (
        ("columns", table.columns),
        ("primary_key", table.primary_key),
        ("forward", table.forward),
        ("reverse", table.reverse),
    )
    spans = ", ".join(f"t{index}_{part}" if content else "{}" for part, content in parts)
    return f"{literal(table.name)}, {spans}"


def _not_served_row(entry: NotServed) -> str:
    texts = (entry.table, entry.column or "", entry.relation or "", entry.cause.value, entry.reason, entry.remedy)
    return ", ".join(literal(text) for text in texts)


def _array(kind: str, name: str, rows: Sequence[str]) -> str:
    """C++ knows no array of length 0: where there is nothing, nothing is defined and the span is `{}`."""
    if not rows:
        return ""
    body = "".join(f"    {{{row}}},\n" for row in rows)
    return f"\nconstexpr {kind} {name}[] = {{\n{body}}};\n"


def _numbers(name: str, numbers: Sequence[int], kind: str = "uint16_t") -> str:
    if not numbers:
        return ""
    return f"\nconstexpr {kind} {name}[] = {{{', '.join(map(str, numbers))}}};\n"


def _texts(name: str, texts: Sequence[str]) -> str:
    if not texts:
        return ""
    return f"\nconstexpr std::string_view {name}[] = {{{', '.join(map(literal, texts))}}};\n"


def _kept_as(column: PlannedColumn) -> str:
    """The engine compares intervals by their length; to every other part they are texts."""
    if column.storage is Storage.TEXT and _INTERVAL.match(column.declared_type):
        return "kInterval"
    return _storage(column.storage)


def _storage(storage: Storage) -> str:
    """`Storage.I16` is `kI16`, `Storage.TIMESTAMP` is `kTimestamp`."""
    name = storage.name
    return "k" + (name if re.fullmatch(r"[A-Z][0-9]+", name) else name.capitalize())


def _bool(value: bool) -> str:
    return "true" if value else "false"
