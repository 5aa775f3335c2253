"""Bad input is refused with 400 and the field's name, whatever it is; parametrised from the contract's own schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.api import Api
from tests.contract.contract import operations

NOWHERE = "00000000-0000-4000-8000-000000000000"
GOOD: dict[str, dict[str, Any]] = {
    "createConnection": {
        "name": "n",
        "mysqlHost": "h",
        "availableSchemas": ["s"],
        "mysqlUser": "u",
        "mysqlPassword": "p",
        "instance": {"name": "d", "mysqlDb": "s"},
    },
    "testConnection": {"mysqlHost": "h", "mysqlUser": "u", "mysqlPassword": "p"},
    "updateConnection": {},
    "registerDatabase": {"connectionId": NOWHERE, "name": "n", "mysqlDb": "s"},
    "updateDatabase": {
        "pauseSchedule": {"pauseAt": "10:00", "resumeAt": "11:00", "days": []},
        "tags": [{"label": "x"}],
    },
    "redeployBuild": {"buildId": NOWHERE},
    "resizeInstance": {"instanceSize": "nano"},
    "createApiKey": {"name": "n"},
    "createManagementKey": {"name": "n"},
    "createCheckoutSession": {"plan": "pro"},
    "configureOverage": {"enabled": False},
    "adjustBuildCredits": {"amount": 1},
    "updateCustomerPlan": {"plan": "pro"},
}
"""A body for each operation that takes one, which its schema allows."""

BODY_KIND = "application/json"
SAMPLES: tuple[Any, ...] = (None, True, 0, -1, 1.5, 10**30, "", "x", "\0", [], [1], [None], {}, {"a": 1})


def bodies() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for method, path, operation in operations():
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            yield operation["operationId"], method, path, content["application/json"]["schema"]


def properties(schema: dict[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every field of a body, those of objects in it too."""
    for name, part in schema.get("properties", {}).items():
        yield (*at, name), part
        yield from properties(_object(part), (*at, name))


BODIES = list(bodies())
IDS = [each[0] for each in BODIES]


def _object(part: dict[str, Any]) -> dict[str, Any]:
    for option in (part, *part.get("anyOf", ()), *part.get("allOf", ())):
        if option.get("type") == "object":
            return option
        if option is not part and (found := _object(option)):
            return found
    return {}


def _fits(part: dict[str, Any], value: Any) -> bool:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(part).is_valid(value)


def wrong_values(part: dict[str, Any]) -> Iterator[Any]:
    for value in SAMPLES:
        is_nul_in_text = value == "\0" and _fits(part, "x")
        if is_nul_in_text or not _fits(part, value):
            yield value


def _with(body: dict[str, Any], at: tuple[str, ...], value: Any) -> dict[str, Any]:
    head, *rest = at
    return {**body, head: _with(body.get(head) or {}, tuple(rest), value) if rest else value}


def _send(api: Api, method: str, path: str, **options: Any) -> str:
    path = path.replace("{id}", NOWHERE)
    reply = api(method, path, expect=400, **options)
    message: str = reply.json()["message"]
    return message


@pytest.mark.parametrize(("operation", "method", "path", "schema"), BODIES, ids=IDS)
def test_a_value_that_the_schema_does_not_allow_is_refused_by_name(
    shared: Api, operation: str, method: str, path: str, schema: dict[str, Any]
) -> None:
    for at, part in properties(schema):
        for value in wrong_values(part):
            message = _send(shared, method, path, json=_with(GOOD[operation], at, value))
            assert ".".join(at) in message, (at, value)


@pytest.mark.parametrize(("operation", "method", "path"), [each[:3] for each in BODIES], ids=IDS)
def test_an_unknown_field_is_refused_by_name(shared: Api, operation: str, method: str, path: str) -> None:
    assert "sirName" in _send(shared, method, path, json={**GOOD[operation], "sirName": 1})


@pytest.mark.parametrize(
    ("operation", "method", "path", "name"),
    [(*each[:3], name) for each in BODIES for name in each[3].get("required", ())],
)
def test_a_required_field_is_missed_by_name(shared: Api, operation: str, method: str, path: str, name: str) -> None:
    body = {field: value for field, value in GOOD[operation].items() if field != name}

    assert name in _send(shared, method, path, json=body)


BROKEN = {
    "nothing": b"",
    "half an object": b'{"name": ',
    "no JSON": b"name=x",
    "an array": b"[]",
    "null": b"null",
    "a number": b"1",
    "not UTF-8": b'{"name": "\xff"}',
    "half a surrogate pair": b'{"name": "\\ud800"}',
    "too deep": b"[" * 200_000,
    "deep objects": b'{"name":' * 100_000,
}


@pytest.mark.parametrize(("operation", "method", "path"), [each[:3] for each in BODIES], ids=IDS)
def test_a_body_that_is_no_object_is_refused(shared: Api, operation: str, method: str, path: str) -> None:
    for what, body in BROKEN.items():
        assert _send(shared, method, path, content=body, headers={"Content-Type": BODY_KIND}), what


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/yaml", ""])
def test_another_kind_of_body_is_refused(shared: Api, kind: str) -> None:
    headers = {"Content-Type": kind}

    assert "application/json" in _send(shared, "POST", "/connections/test-connection", content=b"{}", headers=headers)


@pytest.mark.parametrize(("operation", "method", "path"), [each[:3] for each in BODIES], ids=IDS)
def test_a_huge_body_is_refused_unread(shared: Api, operation: str, method: str, path: str) -> None:
    path = path.replace("{id}", NOWHERE)
    body = b'{"name": "' + b"x" * (2 << 20) + b'"}'

    assert shared(method, path, content=body, headers={"Content-Type": "application/json"}).status_code == 413


@pytest.mark.parametrize(
    "name", ['"quoted"', "it's", "two\nlines", "naïve 🦊", "'; DROP TABLE databases; --", "%s{}", "\u202e", "x" * 100]
)
def test_a_strange_name_is_data(api: Api, name: str) -> None:
    created = api.post("/connections", {**GOOD["createConnection"], "name": name, "availableSchemas": ["s", name]}, 201)

    assert api.get(f"/connections/{created['connection']['id']}")["name"] == name
    changed = api(
        "PATCH", f"/databases/{created['database']['id']}", {"name": name, "mysqlDb": name}, expect=200
    ).json()
    assert (changed["name"], changed["mysqlDb"]) == (name, name)
    assert api.post(f"/databases/{created['database']['id']}/api-keys", {"name": name}, 201)["name"] == name


@pytest.mark.parametrize("name", ["x" * 101, "x" * 10_000, "a\0b", ""])
def test_an_impossible_name_is_refused(shared: Api, name: str) -> None:
    assert "name" in _send(shared, "POST", "/connections", json={**GOOD["createConnection"], "name": name})


@pytest.mark.parametrize(
    "when",
    ["2020-01-01T00:00:00Z", "2030-01-01", "2030-01-01T00:00:00", "tomorrow", "2030-02-30T00:00:00Z", 1893456000, None,
     "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2030-01-01T00:00:00Z\n", "２030-01-01T00:00:00Z"],
)  # fmt: skip
def test_an_expiry_must_be_an_instant_to_come(api: Api, database: str, when: object) -> None:
    for path in ("/account/management-keys", f"/databases/{database}/api-keys"):
        refused = api("POST", path, {"name": "n", "expiresAt": when}, expect=400)
        assert "expiresAt" in refused.json()["message"]


STRANGE_IDS = [
    "x",
    "1",
    NOWHERE,
    "%00",
    "null",
    "..%2f..",
    "{id}",
    "x" * 5000,
    NOWHERE.replace("-", ""),
    "%F0%9F%A6%8A",
]


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [each for each in operations() if "{id}" in each[1]],
    ids=[operation["operationId"] for _, path, operation in operations() if "{id}" in path],
)
def test_an_id_that_is_nobodys_is_not_found(shared: Api, method: str, path: str, operation: dict[str, Any]) -> None:
    options: dict[str, Any] = {}
    if operation["operationId"] == "putSchemaConfig":
        options = {"content": b"version: 1\n", "headers": {"Content-Type": "application/yaml"}}
    elif "requestBody" in operation:
        options = {"json": GOOD[operation["operationId"]]}
    for strange in STRANGE_IDS:
        reply = shared(method, path.replace("{id}", strange).replace("{keyId}", "k"), **options)
        assert (reply.status_code, reply.json()["error"]) == (404, "not_found"), strange


def test_no_answer_repeats_a_password(shared: Api) -> None:
    for password in (["horse"], {"a": "horse"}, 12345678901234567890):
        body = {**GOOD["createConnection"], "mysqlPassword": password}
        message = _send(shared, "POST", "/connections", json=body)
        assert "horse" not in message
        assert "1234567890" not in message


def test_an_unknown_path_and_method_answer_like_everything_else(shared: Api) -> None:
    assert shared("GET", "/nothing").status_code == 404
    assert shared("PUT", "/connections").status_code == 405
    for path, allowed in (
        ("/connections", "GET, HEAD, POST"),
        (f"/databases/{NOWHERE}", "DELETE, GET, HEAD, PATCH"),
        ("/connections/test-connection", "POST"),
    ):
        refused = shared("PUT", path, {"name": "n"})
        assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
    for method in ("GET", "PATCH", "DELETE", "PUT"):
        refused = shared(method, "/connections/test-connection", {"name": "x"} if method == "PATCH" else None)
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    odd = {"If-Match": "not looked at", "Content-Type": "application/yaml"}
    for method in ("TRACE", "PUT"):
        assert shared(method, f"/databases/{NOWHERE}", {"nor": "this"}, headers=odd).status_code == 405
    assert shared("TRACE", f"/databases/{NOWHERE}/config", headers=odd).status_code == 405
    assert shared("GET", "/databases/").status_code == 404


AMBIGUOUS = {
    b'{"name": "a", "name": "b"}': "name",
    b'{"name": "n", "instance": {"name": "a", "name": "b"}}': "instance.name",
    b'{"name": NaN}': "name",
    b'{"name": "n", "tags": [-Infinity]}': "tags.0",
    b'{"name": 1e999}': "name",
    b'{"name": ' + b"9" * 5000 + b"}": "name",
    b'{"name": ' + b"[" * 40 + b"]" * 40 + b"}": "nested",
    b'{"name": "\xff"}': "UTF-8",
    '{"name": "n"}'.encode("utf-16"): "UTF-8",
    b'\xef\xbb\xbf{"name": "n"}': "byte order mark",
    b'{"\\u0000\\u001b[2J": NaN}': "\N{REPLACEMENT CHARACTER}",
}


def test_what_two_parsers_could_read_differently_is_refused_by_name(shared: Api) -> None:
    for operation, method, path, _ in BODIES:
        for body, named in AMBIGUOUS.items():
            message = _send(shared, method, path, content=body, headers={"Content-Type": BODY_KIND})
            assert named in message, (operation, body[:60])
            assert message.isprintable()


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"Content-Type": "application/json; charset=latin-1"}, "charset"),
        ({"Content-Type": "application/json; charset=utf-16"}, "charset"),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, "Content-Encoding"),
    ],
)
def test_another_encoding_is_refused_by_name(shared: Api, headers: dict[str, str], named: str) -> None:
    assert named in _send(shared, "POST", "/account/management-keys", content=b'{"name": "n"}', headers=headers)


@pytest.mark.parametrize("kind", ['application/json; charset="UTF-8"', "application/json;charset=utf-8"])
def test_utf_8_may_be_said(shared: Api, kind: str) -> None:
    reply = shared("POST", "/account/management-keys", content=b'{"name": "n"}', headers={"Content-Type": kind})

    assert reply.status_code == 201


def too_long(part: dict[str, Any]) -> Iterator[Any]:
    """Values just beyond what a field takes."""
    for option in (part, *part.get("anyOf", ()), *part.get("allOf", ())):
        if "maxLength" in option:
            yield "x" * (option["maxLength"] + 1)
        if "maxItems" in option:
            yield [{"label": "x"}] * (option["maxItems"] + 1)
        if "maximum" in option:
            yield option["maximum"] + 1


@pytest.mark.parametrize(("operation", "method", "path", "schema"), BODIES, ids=IDS)
def test_too_long_is_refused_by_name_and_says_how_long_may_be(
    shared: Api, operation: str, method: str, path: str, schema: dict[str, Any]
) -> None:
    for at, part in properties(schema):
        for value in too_long(part):
            message = _send(shared, method, path, json=_with(GOOD[operation], at, value))
            assert ".".join(at) in message
            assert any(character.isdigit() for character in message), message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tags.0.label", {"tags": [{"label": ""}]}),
        ("tags.1.label", {"tags": [{"label": "x"}, {}]}),
        ("tags.0.color", {"tags": [{"label": "x", "color": 1}]}),
        ("tags.0.size", {"tags": [{"label": "x", "size": 1}]}),
        ("pauseSchedule.days.0", {"pauseSchedule": {"pauseAt": "10:00", "resumeAt": "11:00", "days": [7]}}),
        ("pauseSchedule.pauseAt", {"pauseSchedule": {"pauseAt": "24:00", "resumeAt": "11:00", "days": []}}),
        ("pauseSchedule.resumeAt", {"pauseSchedule": {"pauseAt": "10:00", "resumeAt": "10:00", "days": []}}),
        ("pauseSchedule.resumeAt", {"pauseSchedule": {"pauseAt": "10:00", "resumeAt": "１1:00", "days": []}}),
        ("pauseSchedule.at", {"pauseSchedule": {"pauseAt": "10:00", "resumeAt": "11:00", "days": [], "at": 1}}),
    ],
)
def test_a_field_within_a_field_is_named_by_its_path(shared: Api, field: str, value: dict[str, Any]) -> None:
    assert field in _send(shared, "PATCH", "/databases/{id}", json=value)


@pytest.mark.parametrize(
    "domain",
    ["раypal", "exаmple", "ｅxample", "ex\u200bample", "ⅸ", "straße", "xn--", "a.b", "a/b", "../a", "A", "-a", "a-", "",
     "a\n", "a" * 64, "a b", "a_b"],
)  # fmt: skip
def test_a_domain_that_looks_like_another_is_refused(shared: Api, domain: str) -> None:
    assert "reflexdbCustomDomain" in _send(shared, "PATCH", "/databases/{id}", json={"reflexdbCustomDomain": domain})


def test_names_that_look_alike_are_two_names(api: Api) -> None:
    """Nothing is normalized: a name is data, shown as it was given."""
    names = ["caf\u00e9", "cafe\u0301", "cafe", "сafe"]
    for name in names:
        api.post("/connections", {**GOOD["createConnection"], "name": name}, 201)

    assert [each["name"] for each in api.get("/connections")] == names
