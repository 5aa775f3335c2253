"""Two instances of one database side by side: a share, standing by, changing places; no request fails meanwhile."""

from __future__ import annotations

import os
import signal

import pytest

from reflexdb.deploy.base import Observation, Replacement
from reflexdb.deploy.local.processes import Role
from reflexdb.model.errors import DeployFailed, InstanceUnreachable
from tests.deploy.load import Load
from tests.deploy.site import Site, execute
from tests.sync.waiting import until

PEOPLE = [{"id": 1, "name": "Ada"}, {"id": 2, "name": None}]


def deploy(site: Site, deployment_id: str, how: Replacement) -> Observation:
    return site.deployer.deploy(site.spec(deployment_id), site.lines.append, how=how)


def beside(site: Site) -> Observation:
    found = site.deployer.beside("db")
    assert found is not None
    return found


def answered(observation: Observation) -> int:
    assert observation.requests is not None
    return observation.requests.answered


def test_a_redeploy_tells_how_many_requests_failed(site: Site) -> None:
    port = site.deploy("d1").port
    with Load(port) as load:
        until(lambda: load.answered > 50)
        found = deploy(site, "d2", Replacement())

    assert load.failures == []
    assert found.failed == 0


def test_an_instance_that_is_replaced_can_stand_by_and_be_put_back_without_a_failed_request(site: Site) -> None:
    port = site.deploy("d1").port
    with Load(port) as load:
        until(lambda: load.answered > 50)
        deploy(site, "d2", Replacement(keep=True))
        stood = answered(beside(site))
        until(lambda: answered(site.observe()) > 50)
        still = answered(beside(site))
        back = site.deployer.exchange("db", "d1")
        so_far = load.answered
        until(lambda: load.answered > so_far + 50)
        ended = site.deployer.end_beside("db")

    assert load.failures == []
    assert still == stood
    assert back.deployed.deployment_id == "d1"
    assert site.deployer.deployed() == [back.deployed]
    assert ended is not None
    assert (ended.failed, ended.answered > 50) == (0, True)
    assert site.entries() == ["current", "d1"]


def test_what_stands_by_keeps_up_with_its_source(site: Site) -> None:
    port = site.deploy("d1").port
    deploy(site, "d2", Replacement(keep=True))
    execute(site.file, "INSERT INTO people VALUES (3,'Grace')")
    until(lambda: len(site.query(port)) == 3)
    site.deployer.exchange("db", "d1")

    assert len(site.query(port)) == 3


def test_one_beside_takes_its_share_until_it_is_promoted_or_ended(site: Site) -> None:
    port = site.deploy("d1").port
    with Load(port) as load:
        deploy(site, "d2", Replacement(share=500))
        first = site.deployer.deployed()[0].deployment_id
        until(lambda: answered(beside(site)) > 20)
        taken = answered(site.observe())
        until(lambda: answered(site.observe()) > taken + 20)
        site.deployer.give_share("db", 900)
        promoted = site.deployer.exchange("db", "d2")
        so_far = load.answered
        until(lambda: load.answered > so_far + 50)
        site.deployer.end_beside("db")
        until(lambda: load.answered > so_far + 150)

    assert load.failures == []
    assert (first, promoted.deployed.deployment_id) == ("d1", "d2")
    assert site.entries() == ["current", "d2"]


def test_a_new_deployment_ends_what_is_beside(site: Site) -> None:
    site.deploy("d1")
    deploy(site, "d2", Replacement(share=100))
    port = site.deploy("d3").port

    assert site.query(port) == PEOPLE
    assert site.entries() == ["current", "d3"]


def test_a_control_plane_that_comes_finds_both(site: Site) -> None:
    port = site.deploy("d1").port
    deploy(site, "d2", Replacement(share=500))
    site.deployer.close()
    site.deployer = site.new_deployer()
    site.supervise()

    assert beside(site).deployed.deployment_id == "d2"
    site.deployer.end_beside("db")
    assert [site.query(port) for _ in range(5)] == [PEOPLE] * 5
    assert site.entries() == ["current", "d1"]


def test_what_has_died_beside_is_not_put_in_place_and_the_current_one_serves_on(site: Site) -> None:
    port = site.deploy("d1").port
    deploy(site, "d2", Replacement(share=500))
    pid = site.process(Role.SERVER, site.directory().parent / "d2")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: beside(site).health == "unreachable")
    with pytest.raises(DeployFailed, match=r"should take over does not (run|answer)"):
        site.deployer.exchange("db", "d2")

    assert beside(site).health == "unreachable"
    assert [site.query(port) for _ in range(20)] == [PEOPLE] * 20
    site.deployer.end_beside("db")
    assert site.entries() == ["current", "d1"]


def test_without_anything_beside_there_is_nothing_to_share_or_exchange(site: Site) -> None:
    site.deploy("d1")
    with pytest.raises(InstanceUnreachable, match="nothing runs beside"):
        site.deployer.give_share("db", 100)
    with pytest.raises(DeployFailed, match="does not run"):
        site.deployer.exchange("db", "d2")

    assert site.deployer.beside("db") is None
    assert site.deployer.end_beside("db") is None
