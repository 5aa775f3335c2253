"""An operator's plans: a YAML (or JSON) text that changes numbers of the table in model/plans.py.

`parse_plans` is called once, when the control plane starts; it changes what is named and keeps the rest. Every error
says where in the file it is. The plans' names are the API's and can't be added to. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import yaml

from reflexdb.model.document import Place, Rule, compose, entries, items, kind, place, record, word
from reflexdb.model.errors import InvalidConfig
from reflexdb.model.plans import DEFAULT_PLANS, OVERAGE_PLANS, PAID, VERSION, AccountPlan, Plans
from reflexdb.model.sizes import SIZES
from reflexdb.model.suggest import did_you_mean, quoted

MAX_NUMBER = 1_000_000_000
_PRICE = re.compile(r"[A-Za-z0-9_]{1,255}")


def parse_plans(text: str, file: str) -> Plans:
    """`file` is its name, for messages. Raises InvalidConfig with the position of the first thing that is wrong."""
    try:
        return _plans(compose(text))
    except InvalidConfig as exc:
        raise InvalidConfig(f"{file}{exc.message.removeprefix('reflexdb.yaml')}", exc.line, exc.column) from exc


def _plans(root: yaml.Node) -> Plans:
    values = record(root, "The file", {"version": _version, "default": _plan_name, "plans": _changes})
    if "version" not in values:
        raise place(root).error(f'The key "version" is missing; write "version: {VERSION}".')
    changes: Mapping[str, tuple[Place, dict[str, Any]]] = values.get("plans", {})
    by_name = dict(DEFAULT_PLANS.by_name)
    for name, (at, changed) in changes.items():
        by_name[name] = _checked(replace(by_name[name], **changed), at)
    _refuse_shared_prices(by_name, changes)
    return Plans(MappingProxyType(by_name), values.get("default", DEFAULT_PLANS.default))


def _checked(plan: AccountPlan, at: Place) -> AccountPlan:
    if plan.stripe_price is not None and plan.name not in PAID:
        raise at.error(f"{quoted(plan.name)} can't be bought; only {', '.join(PAID)} have a stripePrice.")
    if plan.overage_max_cents and plan.name not in OVERAGE_PLANS:
        raise at.error(f"Overage is for {' and '.join(OVERAGE_PLANS)}; leave it out of {quoted(plan.name)}.")
    if plan.overage_max_cents and not plan.overage_build_cents:
        raise at.error(f"{quoted(plan.name)} offers overage, so overageBuildCents must be at least 1.")
    return plan


def _refuse_shared_prices(by_name: Mapping[str, AccountPlan], changes: Mapping[str, tuple[Place, object]]) -> None:
    seen: dict[str, str] = {}
    for name, plan in by_name.items():
        if plan.stripe_price is not None:
            if plan.stripe_price in seen:
                other = quoted(seen[plan.stripe_price])
                raise changes[name][0].error(f"The stripePrice of {quoted(name)} is that of {other}; one of them errs.")
            seen[plan.stripe_price] = name


def _version(node: yaml.Node, what: str) -> int:
    if not (isinstance(node, yaml.ScalarNode) and node.value == str(VERSION) and kind(node) == "a number"):
        raise place(node).error(f"{what} must be the number {VERSION}.")
    return VERSION


def _plan_name(node: yaml.Node, what: str) -> str:
    return _known(node, what, DEFAULT_PLANS.by_name)


def _known(node: yaml.Node, what: str, names: Mapping[str, object]) -> str:
    name = word(node, what)
    if name.text not in names:
        hint = did_you_mean(name.text, names) or f" Known: {', '.join(names)}."
        raise name.at.error(f"{what} is {quoted(name.text)}, which there is not.{hint}")
    return name.text


def _changes(node: yaml.Node, what: str) -> dict[str, tuple[Place, dict[str, Any]]]:
    changes: dict[str, tuple[Place, dict[str, Any]]] = {}
    for key, value in entries(node, what):
        if key.text not in DEFAULT_PLANS.by_name:
            known = ", ".join(DEFAULT_PLANS.by_name)
            raise key.at.error(f"There is no plan {quoted(key.text)}; the plans are {known}.")
        changed = record(value, f"The plan {quoted(key.text)}", _PLAN)
        changes[key.text] = (key.at, {_FIELDS[name]: given for name, given in changed.items()})
    return changes


def _limit(node: yaml.Node, what: str) -> int | None:
    if isinstance(node, yaml.ScalarNode) and kind(node) == "nothing":
        return None
    return _whole(node, what)


def _whole(node: yaml.Node, what: str) -> int:
    plain = isinstance(node, yaml.ScalarNode) and not node.style and re.fullmatch(r"[0-9]{1,10}", node.value)
    if not plain or int(node.value) > MAX_NUMBER:
        raise place(node).error(f"{what} must be a whole number from 0 to {MAX_NUMBER:,}, not {kind(node)}.")
    return int(node.value)


def _yes_or_no(node: yaml.Node, what: str) -> bool:
    if not isinstance(node, yaml.ScalarNode) or node.value not in ("true", "false") or node.style:
        raise place(node).error(f"{what} must be true or false.")
    return bool(node.value == "true")


def _sizes(node: yaml.Node, what: str) -> tuple[str, ...]:
    named = {_known(item, f"An item of {what}", SIZES) for item in items(node, what)}
    if not named:
        raise place(node).error(f"{what} is an empty list; a plan without sizes could serve nothing.")
    return tuple(size for size in SIZES if size in named)


def _price(node: yaml.Node, what: str) -> str:
    price = word(node, what)
    if not _PRICE.fullmatch(price.text):
        raise price.at.error(f"{what} must be the id of a Stripe price, like price_1Abc.")
    return price.text


_PLAN: dict[str, Rule] = {
    "instanceSizes": _sizes,
    "databases": _limit,
    "buildCredits": _limit,
    "customDomain": _yes_or_no,
    "overageMaxCents": _whole,
    "overageBuildCents": _whole,
    "stripePrice": _price,
}
_FIELDS = {
    "instanceSizes": "instance_sizes",
    "databases": "databases",
    "buildCredits": "build_credits",
    "customDomain": "custom_domain",
    "overageMaxCents": "overage_max_cents",
    "overageBuildCents": "overage_build_cents",
    "stripePrice": "stripe_price",
}
