"""The walls between customers: every operation of the served description, walked with the things of another customer.

A new operation is walked without a word here; one whose path has a parameter that is not known here fails until the
walk is told what to put there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL
from starlette.testclient import TestClient

from reflexdb.api.app import create_app
from reflexdb.control.local import open_control
from reflexdb.control.rooms import Settings
from tests.api.api import UNHURRIED, Api, sqlite_connection

NAME = "of-the-owner-alone"
"""In every name that the owner gives: nobody else may ever see it."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A control plane with an owner who has one of everything, and a stranger who has nothing."""

    owner: Api
    stranger: Api
    things: dict[str, str]
    """Ids of what the owner has, by the path parameter under its collection."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, module_records: URL | None) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("walls")
    outside = tmp_path_factory.mktemp("source")
    source = outside / "source.db"
    source.touch()
    settings = Settings(base_url="http://127.0.0.1:8400", sqlite_directories=(outside,))
    control = open_control(directory, settings, "127.0.0.1", module_records)
    first = control.accounts.ensure_first()
    assert first is not None
    other = control.customers.create("stranger")
    key = control.accounts.create_key(other.id, "theirs", None)
    with TestClient(create_app(control, UNHURRIED), raise_server_exceptions=False) as client:
        owner = Api(client, first.key)
        yield Scene(owner, Api(client, key.key), _one_of_everything(owner, source))
    control.rooms.store.close()


def _one_of_everything(owner: Api, source: Path) -> dict[str, str]:
    body = sqlite_connection(str(source), name=NAME, instance={"name": NAME, "mysqlDb": "main"})
    created = owner.post("/connections", body, expect=201)
    database = created["database"]["id"]
    owner("PUT", f"/databases/{database}/config", content="version: 1\n", headers={"Content-Type": "application/yaml"})
    api_key = owner.post(f"/databases/{database}/api-keys", {"name": NAME}, expect=201)
    key = owner.post("/account/management-keys", {"name": NAME}, expect=201)
    build = owner.post(f"/databases/{database}/provision")["buildId"]
    return {
        "connections/id": created["connection"]["id"],
        "databases/id": database,
        "databases/keyId": api_key["keyId"],
        "databases/build_id": build,
        "databases/deployment_id": owner.get(f"/databases/{database}/deployments")["deployments"][0]["id"],
        "account/id": key["id"],
        "admin/id": created["connection"]["customerId"],
        "admin/keyId": key["id"],
        "admin/loginId": key["id"],
        "connectionId": created["connection"]["id"],
        "buildId": build,
        "against": build,
    }


@pytest.fixture(scope="module")
def document(scene: Scene) -> dict[str, Any]:
    served: dict[str, Any] = scene.owner.get("/openapi.json")
    return served


def filled(path: str, things: dict[str, str]) -> str:
    kind = path.split("/")[1]
    for parameter in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
        path = path.replace(f"{{{parameter}}}", things[f"{kind}/{parameter}"])
    return path


def sample(schema: dict[str, Any], document: dict[str, Any], things: dict[str, str], name: str = "") -> Any:
    """A value that the schema allows, with the owner's ids wherever an id is asked for."""
    if "$ref" in schema:
        return sample(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document, things, name)
    if name in things:
        return things[name]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return sample(schema[key][0], document, things, name)
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    match schema.get("type"):
        case "object":
            parts = schema.get("properties", {})
            return {each: sample(parts[each], document, things, each) for each in schema.get("required", ())}
        case "array":
            return [sample(schema["items"], document, things, name)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    formats = {"date-time": "2099-01-01T00:00:00Z", "uuid": things["buildId"]}
    return formats.get(schema.get("format", ""), "x")


def asked(api: Api, method: str, path: str, operation: dict[str, Any], scene: Scene, document: dict[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {})
    named = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"} & scene.things.keys()
    options: dict[str, Any] = {"params": {name: scene.things[name] for name in named}}
    if "application/yaml" in content:
        options |= {"content": "version: 1\n", "headers": {"Content-Type": "application/yaml"}}
    elif "application/json" in content:
        options |= {"json": sample(content["application/json"]["schema"], document, scene.things)}
    return api(method, filled(path, scene.things), **options)


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """What removes comes last, so that there is something to be found until then."""
    every = [(method.upper(), path, each) for path, item in document["paths"].items() for method, each in item.items()]
    return sorted(every, key=lambda each: (each[0] == "DELETE", -each[1].count("/"), each[1]))


def names_a_thing(path: str, operation: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether the caller says which thing is meant, in the path or in the body."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return "{" in path or bool(
        {"connectionId", "databaseId", "buildId", "customerId"} & set(schema.get("properties", ()))
    )


def state(api: Api) -> list[Any]:
    database = api.get("/databases")[0]["id"]
    paths = ("/databases", "/connections", "/account/management-keys", f"/databases/{database}/api-keys", "/audit",
             f"/databases/{database}/builds", f"/databases/{database}/instance")  # fmt: skip
    told = [api.get(path) for path in paths]
    for key in told[2]:
        key.pop("lastUsedAt")
    return told


def test_anothers_things_are_not_there_in_any_operation(scene: Scene, document: dict[str, Any]) -> None:
    before = state(scene.owner)
    walked = 0
    for method, path, operation in operations(document):
        if not names_a_thing(path, operation, document) and method != "GET":
            continue  # makes something of the caller's own
        reply = asked(scene.stranger, method, path, operation, scene, document)
        where = f"{method} {path} answered {reply.status_code}: {reply.text}"
        assert NAME not in reply.text, where
        assert not [each for each in scene.things.values() if each in reply.text], where
        if path.startswith("/admin/"):
            assert (reply.status_code, reply.json()["error"]) == (403, "forbidden"), where
        elif names_a_thing(path, operation, document):
            assert (reply.status_code, reply.json()["error"]) == (404, "not_found"), where
        else:
            assert reply.status_code == 200, where
        walked += 1

    assert walked >= 40
    assert state(scene.owner) == before


def test_lists_are_empty_for_who_has_nothing(scene: Scene) -> None:
    assert scene.stranger.get("/databases") == scene.stranger.get("/connections") == []
    assert {each["name"] for each in scene.stranger.get("/account/management-keys")} == {"theirs"}
    assert {each["action"] for each in scene.stranger.get("/audit")["entries"]} == {
        "customer.create", "managementKey.create",
    }  # fmt: skip
    for filter_ in (f"target={scene.things['databases/id']}", "action=database.create", f"key={NAME}"):
        assert scene.stranger.get(f"/audit?{filter_}")["entries"] == []


def test_the_owner_finds_every_one_of_them(scene: Scene, document: dict[str, Any]) -> None:
    """Else the walk would prove nothing: with ids that name nothing, everybody gets a 404."""
    for method, path, operation in operations(document):
        if names_a_thing(path, operation, document) and not path.startswith("/admin/"):
            reply = asked(scene.owner, method, path, operation, scene, document)
            found = reply.status_code not in {403, 404} or reply.json()["message"].startswith("This build ")
            assert found, f"{method} {path} answered {reply.text}"
