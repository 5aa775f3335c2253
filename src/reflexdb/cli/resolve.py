"""From what a person types to the thing meant: a name or an id, for connections, databases, builds and keys.

A name that fits several things is refused with the candidates; nothing is ever guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.output import safe
from reflexdb.client import ReflexClient
from reflexdb.client.types import ApiKey, Build, Connection, Database, ManagementKey

SHORTEST_PREFIX = 4
Key = TypeVar("Key", ApiKey, ManagementKey)


def connection(client: ReflexClient, wanted: str) -> Connection:
    """The connection with this id or name."""
    known = client.list_connections()
    found = [item for item in known if item["id"] == wanted] or [item for item in known if item["name"] == wanted]
    if not found:
        raise missing("connection", wanted, [item["name"] for item in known])
    return found[0]


def database(client: ReflexClient, wanted: str) -> Database:
    """The database with this id or name, or `connection/name` where several connections have the name."""
    known = client.list_databases()
    found = [item for item in known if item["id"] == wanted] or [item for item in known if item["name"] == wanted]
    if not found and "/" in wanted:
        found = _qualified(client, known, wanted)
    if not found:
        raise missing("database", wanted, [item["name"] for item in known])
    if len(found) > 1:
        names = {item["id"]: item["name"] for item in client.list_connections()}
        candidates = ", ".join(f"{names.get(item['connectionId'], '?')}/{item['name']}" for item in found)
        raise CommandFailed(Exit.CONFLICT, f"{safe(wanted)!r} could be any of these, say which: {safe(candidates)}")
    return found[0]


def _qualified(client: ReflexClient, known: Sequence[Database], wanted: str) -> list[Database]:
    names = {item["id"]: item["name"] for item in client.list_connections()}
    return [item for item in known if f"{names.get(item['connectionId'])}/{item['name']}" == wanted]


def build(client: ReflexClient, database_id: str, wanted: str) -> Build:
    """The build with this id, the only one whose id begins like this, or the one with this number, written #3."""
    known = client.list_builds(database_id)["builds"]
    numbered = {f"#{len(known) - index}": item for index, item in enumerate(known)}  # from 1, without gaps
    if wanted in numbered:
        return numbered[wanted]
    found = [item for item in known if item["id"] == wanted]
    if not found and len(wanted) >= SHORTEST_PREFIX:
        found = [item for item in known if item["id"].startswith(wanted.lower())]
    if not found:
        raise missing("build", wanted, [item["id"] for item in known[:5]])
    if len(found) > 1:
        raise CommandFailed(Exit.CONFLICT, f"several builds begin with {safe(wanted)!r}; give more of the id")
    return found[0]


def api_key(known: Sequence[ApiKey], wanted: str) -> ApiKey:
    """The query key with this keyId, id or name; a name only among keys that are not revoked."""
    found = [item for item in known if wanted in (item["keyId"], item["id"])]
    found = found or [item for item in known if item["name"] == wanted and not item.get("revokedAt")]
    return _only(found, wanted, [item["name"] for item in known])


def management_key(known: Sequence[ManagementKey], wanted: str) -> ManagementKey:
    """The management key with this keyId, id or name; a name only among keys that are not revoked."""
    found = [item for item in known if wanted in (item["keyId"], item["id"])]
    found = found or [item for item in known if item["name"] == wanted and not item.get("revokedAt")]
    return _only(found, wanted, [item["name"] for item in known])


def _only(found: Sequence[Key], wanted: str, names: Sequence[str]) -> Key:
    if not found:
        raise missing("key", wanted, names)
    if len(found) > 1:
        ids = ", ".join(item["keyId"] for item in found)
        raise CommandFailed(Exit.CONFLICT, f"several keys are called {safe(wanted)!r}; give the key id: {ids}")
    return found[0]


def missing(noun: str, wanted: str, known: Sequence[str]) -> CommandFailed:
    """The error for a thing that is not there, with what is."""
    names = ", ".join(safe(name) for name in known[:10]) + (", ..." if len(known) > 10 else "")
    there = f"there are: {names}" if known else "there are none yet"
    return CommandFailed(Exit.NOT_FOUND, f"no {noun} {safe(wanted)!r}; {there}")
