"""What dies is started again; what runs is found again."""

from __future__ import annotations

import os
import signal

import pytest

from reflexdb.deploy.base import ApiKeySet
from reflexdb.deploy.local.processes import Role
from reflexdb.model.errors import Conflict
from tests.deploy.site import SECRET, Site, execute
from tests.sync.waiting import until

PEOPLE = [{"id": 1, "name": "Ada"}, {"id": 2, "name": None}]


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def test_a_killed_server_is_started_again_and_no_connection_is_refused(site: Site) -> None:
    site.supervise()
    port = site.deploy().port
    kill(server := site.process(Role.SERVER))
    answer = site.query(port)  # connects to the kept socket and waits there

    assert answer == PEOPLE
    assert site.process(Role.SERVER) not in (server, None)


def test_a_killed_sync_is_started_again_while_queries_go_on(site: Site) -> None:
    site.supervise()
    port = site.deploy().port
    kill(sync := site.process(Role.SYNC))
    meanwhile = site.query(port)
    site.awaited(Role.SYNC, other_than=sync)
    execute(site.file, "DELETE FROM people WHERE id = 2")

    assert meanwhile == PEOPLE
    until(lambda: site.query(port) == PEOPLE[:1])


def test_both_killed_at_once_come_back(site: Site) -> None:
    site.supervise()
    port = site.deploy().port
    for role in Role:
        kill(site.process(role))

    assert site.query(port) == PEOPLE
    until(site.healthy)


def test_a_restarted_server_knows_the_keys_in_force(site: Site) -> None:
    site.supervise()
    port = site.deploy().port
    site.keys = ApiKeySet(SECRET, {"k2": None})
    site.deployer.set_keys("db", site.keys)
    kill(server := site.process(Role.SERVER))
    site.awaited(Role.SERVER, other_than=server)

    assert site.query(port, key_id="k2") == PEOPLE
    assert site.query(port, key_id="k1")["error"] == "unauthorized"


def test_a_deployer_that_ends_changes_nothing_and_the_next_one_adopts(site: Site) -> None:
    deployed = site.deploy()
    before = [site.process(role) for role in Role]
    site.deployer.close()
    meanwhile = site.query(deployed.port)
    site.deployer = site.new_deployer()
    site.supervise()

    assert meanwhile == PEOPLE
    assert site.deployer.deployed() == [deployed]
    assert [site.process(role) for role in Role] == before
    kill(before[0])
    assert site.query(deployed.port) == PEOPLE


def test_what_died_while_nobody_supervised_is_started_on_its_port(site: Site) -> None:
    deployed = site.deploy()
    site.deployer.close()
    for role in Role:
        kill(site.process(role))
    site.deployer = site.new_deployer()
    site.supervise()
    until(site.healthy)

    assert site.query(deployed.port) == PEOPLE


def test_an_adopted_instance_refuses_keys_that_were_revoked_meanwhile(site: Site) -> None:
    port = site.deploy().port
    site.deployer.close()
    site.keys = ApiKeySet(SECRET, {"k2": None})
    site.deployer = site.new_deployer()
    site.supervise()

    until(lambda: isinstance(site.query(port, key_id="k1"), dict))
    assert site.query(port, key_id="k2") == PEOPLE


def test_an_adopted_instance_is_redeployed_on_the_same_port(site: Site) -> None:
    first = site.deploy()
    site.deployer.close()
    site.deployer = site.new_deployer()
    second = site.deploy()

    assert second.port == first.port
    assert site.query(second.port) == PEOPLE


def test_a_directory_is_supervised_by_one_control_plane(site: Site) -> None:
    site.supervise()
    other = site.new_deployer()

    with pytest.raises(Conflict, match="another control plane"):
        other.supervise(lambda _: (site.address(), site.keys))
    other.close()


def test_stopped_instances_keep_their_files_and_come_back(site: Site) -> None:
    site.supervise()
    deployed = site.deploy()
    site.deployer.stop_all()
    stopped = site.stray_processes()
    site.deployer.close()
    site.deployer = site.new_deployer()
    site.supervise()
    until(site.healthy)

    assert stopped == []
    assert site.query(deployed.port) == PEOPLE
