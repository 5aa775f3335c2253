"""Deploying for real: the compiled server, the sync process, a SQLite file, HTTP clients."""

from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reflexdb.deploy.base import ApiKeySet
from reflexdb.deploy.local.processes import Role
from reflexdb.model.errors import DeployFailed, InstanceUnreachable
from reflexdb.model.schema import Backend
from reflexdb.sources.base import SourceAddress
from tests.deploy.load import Load
from tests.deploy.site import SECRET, Site, execute
from tests.disks import turns_read_only
from tests.sync.waiting import until

PEOPLE = [{"id": 1, "name": "Ada"}, {"id": 2, "name": None}]


def test_a_deployment_serves_the_source_s_rows_at_the_url_it_names(site: Site) -> None:
    deployed = site.deploy("d1")

    assert deployed.endpoint_url == f"http://127.0.0.1:{deployed.port}"
    assert site.query(deployed.port) == PEOPLE
    assert site.deployer.deployed() == [deployed]


def test_a_deployment_tells_what_the_new_instance_was_found_to_hold(site: Site) -> None:
    found = site.deployer.deploy(site.spec("d1"), site.lines.append)

    assert (found.health, found.row_counts, found.replication_paused) == (
        "ok", {"people": 2, "posts": 1, "odd `name": 0}, False,
    )  # fmt: skip
    assert found.deployed == site.observe().deployed


def test_a_redeploy_keeps_the_port_and_fails_no_request(site: Site) -> None:
    first = site.deploy()
    with Load(first.port) as load:
        until(lambda: load.answered > 50)
        second = site.deploy(port=first.port)
        so_far = load.answered
        until(lambda: load.answered > so_far + 50)

    assert load.failures == []
    assert second.port == first.port
    assert site.deployer.deployed() == [second]


def test_after_a_redeploy_nothing_of_the_old_instance_is_left(site: Site) -> None:
    site.deploy("d1")
    old = [site.process(role) for role in Role]
    site.deploy("d2")

    assert not any(Path(f"/proc/{pid}").exists() for pid in old)
    assert site.entries() == ["current", "d2"]


def test_rows_changed_at_the_source_appear(site: Site) -> None:
    port = site.deploy().port
    execute(site.file, "INSERT INTO people VALUES (3,'Grace')")

    until(lambda: site.query(port) == [*PEOPLE, {"id": 3, "name": "Grace"}])


@pytest.mark.parametrize(
    ("change", "step", "reason"),
    [
        ({"source": SourceAddress(Backend.SQLITE, "/nowhere/source.db")}, "load", "source_missing.*/nowhere/source.db"),
        ({"image_digest": "sha256:" + "0" * 64}, "unpack", "sha256:0"),
        ({"deployment_id": "../outside"}, "unpack", "outside"),
        ({"deployment_id": "d1"}, "unpack", "exists already"),
    ],
    ids=["source missing", "image missing", "hostile id", "id taken"],
)
def test_a_deployment_that_fails_is_removed_and_the_old_one_serves_on(
    site: Site, change: dict[str, Any], step: str, reason: str
) -> None:
    old = site.deploy("d1")
    before = site.process(Role.SERVER)
    with Load(old.port) as load, pytest.raises(DeployFailed, match=reason) as failed:
        site.deploy(**{"deployment_id": "d2", **change})

    assert failed.value.step == step
    assert load.failures == []
    assert site.process(Role.SERVER) == before
    assert site.query(old.port) == PEOPLE
    assert site.entries() == ["current", "d1"]


def test_a_first_deployment_that_fails_leaves_nothing(site: Site) -> None:
    with pytest.raises(DeployFailed):
        site.deploy(source=SourceAddress(Backend.SQLITE, "/nowhere/source.db"))

    assert site.stray_processes() == []
    assert site.deployer.deployed() == []
    assert not (site.root / "data" / "instances" / "db").exists()


def test_a_snapshot_over_the_cap_fails_the_load_with_numbers(site: Site) -> None:
    execute(
        site.file,
        "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i+1 FROM n WHERE i < 4000) "
        "INSERT INTO people SELECT i, hex(randomblob(500)) FROM n",
    )
    with pytest.raises(DeployFailed, match=r"cap_exceeded.*\d") as failed:
        site.deploy(memory_cap_mb=2)

    assert failed.value.step == "load"


def test_growing_over_the_cap_keeps_the_last_good_snapshot(site: Site) -> None:
    port = site.deploy(memory_cap_mb=4).port
    execute(
        site.file,
        "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i+1 FROM n WHERE i < 8000) "
        "INSERT INTO people SELECT i, hex(randomblob(500)) FROM n",
    )
    until(lambda: site.observe().health == "cap_exceeded")
    served = site.query(port)
    reason = site.observe().reason
    execute(site.file, "DELETE FROM people WHERE id >= 10")
    until(site.healthy)

    assert served == PEOPLE
    assert any(character.isdigit() for character in reason or "")


def test_a_port_that_is_taken_fails_the_launch_by_name(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(DeployFailed, match="Address already in use") as failed:
            site.deploy(port=port)

    assert failed.value.step == "launch"


def test_a_retired_instance_leaves_no_process_no_file_and_no_listener(site: Site) -> None:
    port = site.deploy().port
    site.deployer.retire("db")
    site.deployer.retire("db")

    assert site.stray_processes() == []
    assert not (site.root / "data" / "instances" / "db").exists()
    assert site.deployer.observe("db") is None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_key_is_refused_once_it_is_revoked_or_expired(site: Site) -> None:
    port = site.deploy().port
    past = datetime.now(UTC) - timedelta(seconds=1)
    site.deployer.set_keys("db", ApiKeySet(SECRET, {"k2": None, "k3": past}))

    assert [site.query(port, key_id=key).get("error") for key in ("k1", "k3")] == ["unauthorized"] * 2
    assert site.query(port, key_id="k2") == PEOPLE


def test_orders_to_what_is_not_deployed_are_unreachable(site: Site) -> None:
    for order in (site.deployer.reload, site.deployer.pause_sync, site.deployer.resume_sync):
        with pytest.raises(InstanceUnreachable, match="nothing is deployed"):
            order("db")
    with pytest.raises(InstanceUnreachable, match="nothing is deployed"):
        site.deployer.set_keys("db", site.keys)


def test_paused_rows_stay_and_resumed_rows_come(site: Site) -> None:
    port = site.deploy().port
    site.deployer.pause_sync("db")
    execute(site.file, "DELETE FROM people WHERE id = 2")
    until(lambda: site.observe().sync_state == "paused")
    frozen, observed = site.query(port), site.observe()
    site.deployer.resume_sync("db")
    until(lambda: site.query(port) == PEOPLE[:1])

    assert frozen == PEOPLE
    assert observed.replication_paused
    assert observed.health == "ok"


def test_a_pause_survives_a_redeploy(site: Site) -> None:
    site.deploy()
    site.deployer.pause_sync("db")
    site.deploy()

    until(lambda: site.observe().sync_state == "paused")


def test_a_reload_swaps_a_snapshot_in(site: Site) -> None:
    site.deploy(sync_interval_s=3600)
    before = site.observe().swap_count or 0
    site.deployer.reload("db")

    until(lambda: (site.observe().swap_count or 0) > before)


def test_an_observation_tells_rows_age_and_key_use(site: Site) -> None:
    port = site.deploy().port
    site.query(port)
    until(lambda: "k1" in site.observe().key_use)
    observed = site.observe()

    assert observed.health == "ok"
    assert observed.row_counts == {"people": 2, "posts": 1, "odd `name": 0}
    assert observed.snapshot_age_ms is not None
    assert abs(datetime.now(UTC) - observed.key_use["k1"]) < timedelta(minutes=5)


def test_a_failing_source_degrades_and_mends(site: Site) -> None:
    port = site.deploy().port
    away = site.file.with_suffix(".away")
    site.file.rename(away)
    until(lambda: site.observe().health == "degraded")
    served, reason = site.query(port), site.observe().reason
    away.rename(site.file)
    until(site.healthy)

    assert served == PEOPLE
    assert "source_missing" in (reason or "")


def test_no_secret_is_in_a_file_an_argument_or_the_environment(site: Site) -> None:
    site.deploy()
    seen = [file.read_bytes() for file in site.directory().iterdir() if file.is_file()]
    for role in Role:
        seen += [Path(f"/proc/{site.process(role)}/{name}").read_bytes() for name in ("cmdline", "environ")]
    secrets = [SECRET, SECRET.hex().encode(), b"a-secret-nobody-needs"]

    assert not any(secret in content for secret in secrets for content in seen)


def test_the_processes_get_no_descriptor_of_the_deployer_s_and_dump_no_core(site: Site) -> None:
    opened = (site.root / "opened").open("w")
    os.set_inheritable(opened.fileno(), True)
    site.deploy()
    pids = [site.process(role) for role in Role]
    links = [str(fd.readlink()) for pid in pids for fd in Path(f"/proc/{pid}/fd").iterdir()]
    limits = [Path(f"/proc/{pid}/limits").read_text() for pid in pids]
    opened.close()

    assert str(site.root / "opened") not in links
    assert all("Max core file size        0" in text for text in limits)


@pytest.mark.parametrize(
    ("at", "serves"),
    [
        ("Unpacking the image", "d1"),
        ("Starting sync", "d1"),
        ("Loaded in", "d1"),
        ("Handing over", "d1"),
        ("Serving", "d1"),
        ("Draining the old instance", "d2"),
    ],
)
def test_what_a_read_only_disk_keeps_is_removed_once_it_can_be(
    site: Site, monkeypatch: pytest.MonkeyPatch, at: str, serves: str
) -> None:
    """The disk turns read-only in the midst of a deployment, and can be written again after it has ended."""
    port, failed = site.deploy("d1").port, ""
    with Load(port) as load, monkeypatch.context() as disk:

        def log(line: str) -> None:
            if line.startswith(at):
                turns_read_only(disk)

        try:
            site.deployer.deploy(site.spec("d2", port=port), log)
        except DeployFailed as exc:
            failed = exc.message
        with suppress(OSError):
            site.deployer.tidy()
        disk.undo()
        site.deployer.tidy()
        so_far = load.answered
        until(lambda: load.answered > so_far + 50)

    assert load.failures == []
    assert ("Read-only" in failed) == (serves == "d1")
    assert site.entries() == sorted(["current", serves])
    assert site.query(port) == PEOPLE
    assert [pid for pid in site.stray_processes() if pid not in [site.process(role) for role in Role]] == []


def test_what_is_being_changed_is_not_tidied(site: Site) -> None:
    site.deploy("d1")
    database = site.deployer._database("db")
    (site.root / "data" / "instances" / "db" / "d0").mkdir()
    held, done = threading.Event(), threading.Event()

    def change() -> None:
        with database.changing:
            held.set()
            done.wait(60)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(change)
        assert held.wait(60)
        site.deployer.tidy()
        assert site.entries() == ["current", "d0", "d1"]
        done.set()
    site.deployer.tidy()
    assert site.entries() == ["current", "d1"]
