"""What a schema demands, in a form in which two schemas can be compared, and how one differs from the other.

Pure. Both schemas have their references followed already (`contract.contract`, `contract.served`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "format", "default")


@dataclass
class Shape:
    types: set[str] = field(default_factory=set)
    nullable: bool = False
    values: set[Any] | None = None
    bounds: dict[str, Any] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    properties: dict[str, Shape] = field(default_factory=dict)
    items: Shape | None = None


def shape(schema: dict[str, Any]) -> Shape:
    found = Shape()
    _take(found, schema)
    return found


def _take(found: Shape, schema: dict[str, Any]) -> None:
    kind = schema.get("type")
    found.types |= {kind} if isinstance(kind, str) else set(kind or ())
    values = {schema["const"]} if "const" in schema else set(schema.get("enum", ()))
    if values:
        found.nullable |= None in values
        found.values = values - {None}
    for name in BOUNDS:
        if name in schema:
            found.bounds[name] = _plain(schema[name])
    found.required |= set(schema.get("required", ()))
    for name, part in schema.get("properties", {}).items():
        found.properties[name] = shape(part)
    if "items" in schema:
        found.items = shape(schema["items"])
    for option in (*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        _take(found, option)
    if "else" in schema:  # what is demanded unless the exception in `if` applies
        _take(found, schema["else"])
    if "null" in found.types:
        found.types.discard("null")
        found.nullable = True


def _plain(bound: Any) -> Any:
    """1.0 is 1, and a digit has two spellings."""
    if isinstance(bound, float) and bound.is_integer():
        return int(bound)
    return bound.replace("\\d", "[0-9]") if isinstance(bound, str) else bound


def differences(wanted: Shape, given: Shape, at: str, *, answer: bool) -> Iterator[str]:
    """Where `given` is not what is wanted. An answer may have more fields, and promise more."""
    if wanted.types and wanted.types != given.types:
        yield f"{at}: type {sorted(given.types)}, not {sorted(wanted.types)}"
    if wanted.nullable != given.nullable:
        yield f"{at}: {'null' if given.nullable else 'no null'}"
    if wanted.values != given.values and not (answer and wanted.values is None):
        yield f"{at}: values {sorted(given.values or ())}, not {sorted(wanted.values or ())}"
    for name in BOUNDS:
        if (not answer or name == "format") and wanted.bounds.get(name) != given.bounds.get(name):
            yield f"{at}: {name} {given.bounds.get(name)}, not {wanted.bounds.get(name)}"
    for name in sorted(wanted.required - given.required):
        yield f"{at}.{name}: not required"
    for name in sorted(() if answer else given.required - wanted.required):
        yield f"{at}.{name}: required"
    for name in sorted(given.properties.keys() - wanted.properties.keys()) if not answer and wanted.properties else ():
        yield f"{at}.{name}: not in the contract"
    for name, part in wanted.properties.items():
        if name in given.properties:
            yield from differences(part, given.properties[name], f"{at}.{name}", answer=answer)
        else:
            yield f"{at}.{name}: missing"
    if wanted.items is not None:
        if given.items is None:
            yield f"{at}[]: missing"
        else:
            yield from differences(wanted.items, given.items, f"{at}[]", answer=answer)
