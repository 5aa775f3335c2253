"""What must be so whenever a control plane is at rest, whatever its predecessors died of.

`complaints` compares what the API says with the records, the files and the processes, and names every difference. It
knows no action: what an action should have come to is the walk's to say.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from reflexdb.build.store import DirectoryStore
from reflexdb.control.rooms import DEFAULT_KEEP_IMAGES
from tests.api.api import Api
from tests.api.plane import processes_in
from tests.crash.house import PEOPLE, House
from tests.crash.nursery import elsewhere_of

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HASH = re.compile(r"[0-9a-f]{64}")
_KNOWN_FILES = {
    *("admin.key", "operator.key", "control.json", "control.lock", "master.key", "secrets.bin"),
    *(".secrets.lock", ".site.lock", "site.id"),
    *("metadata.db", "metadata.db-shm", "metadata.db-wal", "metadata.lock"),
    *("cache", "cache/images", "cache/images.lock", "cache/images/<hash>", "cache/work", "cache/work/.lock"),
    *("images", "images/.lock", "images/index.json", "images/oci-layout"),
    *("images/blobs", "images/blobs/sha256", "images/blobs/sha256/<hash>"),
    *("instances", "instances/.supervised", "checkpoints"),
    *("logs", "logs/builds", "logs/builds/<id>.log", "logs/control.log"),
}
_INSTANCE = {
    *("current", "<id>", "<id>/instance.json", "<id>/reflex-server", "<id>/server.log", "<id>/server.sock"),
    *("<id>/sync.json", "<id>/sync.lock", "<id>/sync.log", "<id>/sync.sock"),
    *("<id>/checkpoint", "<id>/checkpoint.at"),
}
_PAUSED = {"<id>", "<id>/checkpoint", "<id>/checkpoint.at", "<id>/sync.json"}


def complaints(house: House, api: Api) -> list[str]:
    """Everything that is not as it must be; empty where all is well."""
    row = api.get(f"/databases/{house.database}")
    status = api.get(f"/databases/{house.database}/instance")
    history = api.get(f"/databases/{house.database}/builds")
    return [
        *_of_the_answers(row, status, history),
        *_of_the_builds(house, history),
        *_of_the_records(house, status),
        *_of_the_instance(house, status),
        *_of_processes(house, status),
        *_of_ports(house, row),
        *_of_files(house, status),
        *_of_images(house),
        *_of_secrets(house),
    ]


def _of_the_answers(row: dict[str, Any], status: dict[str, Any], history: dict[str, Any]) -> Iterator[str]:
    serves = status["instance"] is not None
    if (history["activeBuildId"] is not None, row["endpointUrl"] is not None) != (serves, serves):
        yield f"the answers disagree on whether anything serves: {row}, {status}"
    if row["status"] == "running" and not serves:
        yield "running, and nothing serves"
    if row["status"] in ("registered", "paused", "stopped", "terminated") and serves:
        yield f"{row['status']}, and something serves"
    if (row["lastError"] is not None) != (row["status"] == "failed"):
        yield f"{row['status']}, with lastError {row['lastError']}"
    if serves and status["instance"]["healthStatus"] != "ok":
        yield f"health {status['instance']['healthStatus']}"
    if serves and status["hasPendingChanges"]:
        yield "changes are pending, and nobody changed anything"


def _of_the_builds(house: House, history: dict[str, Any]) -> Iterator[str]:
    rows = house.records("SELECT * FROM builds ORDER BY number")
    if [row["number"] for row in rows] != list(range(1, len(rows) + 1)):
        yield "a build record was lost"
    if [build["id"] for build in history["builds"]] != [row["id"] for row in reversed(rows)]:
        yield "the API shows other builds than were recorded"
    for row in rows:
        if row["status"] not in ("succeeded", "failed"):
            yield f"at rest, build {row['number']} is {row['status']}"
        if row["finished_at"] is None or (row["error"] is None) != (row["status"] == "succeeded"):
            yield f"build {row['number']} ended {row['status']} with error {row['error']}"
    logs = {path.stem for path in (house.data / "logs" / "builds").iterdir()}
    if logs - {row["id"] for row in rows}:
        yield "a log of no build"
    stored = {row["id"] for row in rows if row["status"] == "succeeded" and _is_stored(house, row["image_digest"])}
    for build in history["builds"]:
        if (build["id"] in stored) != build["deployable"]:
            yield f"a {build['status']} build is {'' if build['deployable'] else 'not '}deployable"


def _of_the_records(house: House, status: dict[str, Any]) -> Iterator[str]:
    if not house.at_rest():
        yield "a job is unfinished, or a wish is open"
    live = house.records("SELECT * FROM deployments WHERE retired_at IS NULL")
    instance = status["instance"]
    if [row["id"] for row in live] != ([instance["id"]] if instance else []):
        yield f"{len(live)} deployments are not retired, the API shows {instance}"
    if any(row["serving_at"] is None for row in live):
        yield "a deployment that never served is not retired"


def _of_the_instance(house: House, status: dict[str, Any]) -> Iterator[str]:
    """What the API says of the instance is what runs and answers."""
    instance = status["instance"]
    if instance is None:
        return
    directory = house.data / "instances" / house.database / "current"
    try:
        record = json.loads((directory / "instance.json").read_text())
    except OSError as exc:
        yield f"no instance is on disk: {exc}"
        return
    if (record["deployment_id"], record["build_id"]) != (instance["id"], instance["buildId"]):
        yield f"the API says {instance['id']}, and {record['deployment_id']} is deployed"
    [build] = house.records(f"SELECT * FROM builds WHERE id = '{instance['buildId']}'")
    if record["image_digest"] != build["image_digest"]:
        yield "another image is deployed than the active build's"
    plan = DirectoryStore(house.data / "images").plan(build["image_digest"])
    titles = [column.name for table in plan.tables for column in table.columns if column.name.startswith("title")]
    try:
        answers = [
            house.query(instance["endpointUrl"]),
            house.query(instance["endpointUrl"], f"posts {{ {titles[-1]} }}"),
        ]
    except OSError as exc:
        yield f"a query failed: {exc!r}"
        return
    if answers[0] != (200, PEOPLE) or answers[1][0] != 200 or len(answers[1][1]) != 3:
        yield f"queries were answered {answers}"


def _of_processes(house: House, status: dict[str, Any]) -> Iterator[str]:
    current = (house.data / "instances" / house.database / "current").resolve()
    kinds = []
    for pid in processes_in(house.data):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if words[0] == str(current / "reflex-server"):
            kinds.append("server")
        elif "reflexdb.sync" in words and str(current) in words:
            kinds.append("sync")
        elif state != "Z":
            yield f"an orphan process: {' '.join(words)}"
    if sorted(kinds) != (["server", "sync"] if status["instance"] else []):
        yield f"the processes {kinds} run"


def _of_ports(house: House, row: dict[str, Any]) -> Iterator[str]:
    assert house.child is not None
    listening = _listening()
    held = set()
    for entry in Path(f"/proc/{house.child.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            held.add(listening.get(str(entry.readlink())))
    wanted = {urlsplit(url).port for url in (str(httpx.URL(api_url(house))), row["endpointUrl"]) if url}
    if held - {None} != wanted:
        yield f"the control plane holds the ports {held - {None}} instead of {wanted}"
    [port] = [each["port"] for each in house.records("SELECT port FROM databases")]
    if port is not None and row["endpointUrl"] is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                yield f"somebody listens on port {port}, and nothing should"


def api_url(house: House) -> str:
    url: str = json.loads((house.data / "control.json").read_text())["url"]
    return url


def _listening() -> dict[str, int]:
    """Descriptors' names of the sockets that listen, and their ports."""
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A":
            found[f"socket:[{fields[9]}]"] = int(fields[1].partition(":")[2], 16)
    return found


def _of_files(house: House, status: dict[str, Any]) -> Iterator[str]:
    allowed = set(_KNOWN_FILES)
    if status["instance"]:
        allowed |= {"instances/<id>", *(f"instances/<id>/{name}" for name in _INSTANCE)}
    if status["database"]["status"] in ("paused", "failed") and not status["instance"]:  # a resume that failed, too
        allowed |= {f"checkpoints/{name}" for name in _PAUSED}
    for path in everything_in(house.data):
        shape = _HASH.sub("<hash>", _UUID.sub("<id>", path))
        if shape not in allowed:
            yield f"a file that should not be: {path}"
    for path in everything_in(elsewhere_of(house.data)):
        yield f"a temporary file outside of the data directory: {path}"
    if status["instance"]:
        home = house.data / "instances" / house.database
        if sorted(path.name for path in home.iterdir()) != sorted(["current", status["instance"]["id"]]):
            yield f"the instance's directory holds {[path.name for path in home.iterdir()]}"


def everything_in(directory: Path) -> list[str]:
    found = []
    for place, directories, files in os.walk(directory):
        found += [str((Path(place) / name).relative_to(directory)) for name in [*directories, *files]]
    return sorted(found)


def _of_images(house: House) -> Iterator[str]:
    """Images of succeeded builds are stored, the newest of them all, and nothing but their parts and signatures."""
    store = house.data / "images" / "blobs" / "sha256"
    if not store.exists():
        return
    used: set[str] = set()
    made = house.records(
        "SELECT image_digest FROM builds WHERE status = 'succeeded' GROUP BY image_digest ORDER BY max(number) DESC"
    )
    for place, row in enumerate(made):
        digest = row["image_digest"].removeprefix("sha256:")
        if not _is_stored(house, digest):
            if place < DEFAULT_KEEP_IMAGES:
                yield f"of the images, number {place} of the newest is missing"
            continue
        manifest = json.loads((store / digest).read_bytes())
        parts = [manifest["config"], *manifest["layers"]]
        used |= {digest, *(part["digest"].removeprefix("sha256:") for part in parts)}
    for entry in json.loads((house.data / "images" / "index.json").read_bytes())["manifests"]:
        if not _is_stored(house, entry["digest"]):
            continue  # let go, and the index not yet written: the next sweep, of each minute, does it
        manifest = json.loads((store / entry["digest"].removeprefix("sha256:")).read_bytes())
        if manifest.get("subject", {}).get("digest", "").removeprefix("sha256:") in used:
            parts = [entry, manifest["config"], *manifest["layers"]]
            used |= {part["digest"].removeprefix("sha256:") for part in parts}
    stored = {path.name for path in store.iterdir()}
    if stored != used:
        yield f"{len(stored - used)} blobs that no build uses, {len(used - stored)} are missing"


def _is_stored(house: House, digest: str) -> bool:
    """Those beyond the newest may have been let go."""
    return (house.data / "images" / "blobs" / "sha256" / digest.removeprefix("sha256:")).exists()


def _of_secrets(house: House) -> Iterator[str]:
    names = set(json.loads((house.data / "secrets.bin").read_text())["entries"])
    rows = house.records("SELECT id FROM databases WHERE deleted_at IS NULL")
    if names != {"image-signing", *(f"database/{row['id']}/hmac" for row in rows)}:
        yield f"the secrets {names} are kept"
