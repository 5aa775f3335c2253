"""The operator's commands against a real control plane, and the credential they take."""

from __future__ import annotations

import stat

import pytest

from reflexdb.cli.exits import Exit
from tests.cli.conftest import Cli, Plane


@pytest.fixture
def customer(cli: Cli, name: str) -> str:
    """The id of a customer that is called `name`."""
    outcome = cli("admin", "customers", "create", name)
    assert outcome.code == 0
    return outcome.out.strip()


def test_a_customer_is_made_listed_shown_and_renamed(cli: Cli, customer: str, name: str) -> None:
    shown = cli("admin", "customers", "show", name, "--json").json()
    assert isinstance(shown, dict)
    assert (shown["id"], shown["name"], shown["suspendedAt"]) == (customer, name, None)
    listed = cli("admin", "customers", "list", "--json").json()
    assert isinstance(listed, list)
    assert shown in listed
    assert name in cli("admin", "customers", "list").out

    assert cli("admin", "customers", "rename", customer, f"{name}-2").code == 0
    assert cli("admin", "customers", "show", f"{name}-2").code == 0
    assert cli("admin", "customers", "show", name).code == Exit.NOT_FOUND


def test_a_name_that_several_have_is_not_guessed(cli: Cli, customer: str, name: str) -> None:
    second = cli("admin", "customers", "create", name).out.strip()
    outcome = cli("admin", "keys", "list", name)

    assert outcome.code == Exit.CONFLICT
    assert customer in outcome.err
    assert second in outcome.err


def test_a_customers_key_works_until_it_is_revoked(
    cli: Cli, customer: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cli("admin", "keys", "create", name, "--expires", "1d")
    key = made.out.strip()
    assert (made.code, key[:4]) == (0, "rmk_")
    monkeypatch.setenv("REFLEXDB_KEY", key)
    assert cli("database", "list").code == 0
    assert "first key" in cli("management-key", "list").out
    assert cli("admin", "customers", "list").code == 0, "a management key in REFLEXDB_KEY is not the operator's"

    assert "first key" in cli("admin", "keys", "list", name).out
    assert cli("admin", "keys", "revoke", name, "first key").code == 0
    assert cli("database", "list").code == Exit.UNAUTHORIZED


def test_a_suspended_customer_is_refused_until_it_is_restored(
    cli: Cli, customer: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFLEXDB_KEY", cli("admin", "keys", "create", name).out.strip())
    assert cli("admin", "customers", "suspend", name).code == Exit.USAGE
    assert cli("admin", "customers", "suspend", name, "--yes").code == 0

    outcome = cli("status")
    assert (outcome.code, "suspended" in outcome.err) == (Exit.UNAUTHORIZED, True)
    assert cli("admin", "customers", "restore", name).code == 0
    assert cli("status").code == 0


def test_logins_need_an_issuer(cli: Cli, customer: str) -> None:
    outcome = cli("admin", "logins", "add", customer, "ada")

    assert (outcome.code, "OIDC issuer" in outcome.err) == (Exit.UNREACHABLE, True)
    assert cli("admin", "logins", "list", customer).code == 0
    assert cli("admin", "logins", "remove", customer, "ada").code == Exit.NOT_FOUND


def test_a_management_key_is_never_the_operators(cli: Cli, plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEXDB_OPERATOR_KEY", "rok_0000000000000000.x")
    assert cli("admin", "customers", "list").code == Exit.UNAUTHORIZED

    (plane.data / "operator.key").rename(plane.data / "away")
    try:
        monkeypatch.delenv("REFLEXDB_OPERATOR_KEY")
        outcome = cli("admin", "customers", "list")
        assert (outcome.code, "REFLEXDB_OPERATOR_KEY" in outcome.err) == (Exit.UNAUTHORIZED, True)
    finally:
        (plane.data / "away").rename(plane.data / "operator.key")


def test_the_operator_key_is_not_sent_to_another_machine(
    cli: Cli, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFLEXDB_URL", "http://reflexdb.example:8400")
    outcome = cli("admin", "customers", "list")

    assert outcome.code == Exit.UNAUTHORIZED
    assert (plane.data / "operator.key").read_text().strip() not in outcome.err


def test_the_key_is_private_and_not_reset_while_the_control_plane_runs(cli: Cli, plane: Plane) -> None:
    path = plane.data / "operator.key"
    before = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    outcome = cli("admin", "reset-key")
    assert outcome.code != 0
    assert "another control plane runs" in outcome.err
    assert path.read_text() == before
    assert cli("admin", "customers", "list").code == 0


def test_the_key_of_images_is_shown_rotated_and_removed(cli: Cli) -> None:
    before = cli("signing-key", "list", "--json").json()
    assert isinstance(before, list)
    former = before[0]["keyId"]
    assert cli("signing-key", "show").out == before[0]["publicKey"]

    made = cli("admin", "signing-key", "rotate", "--json").json()
    assert isinstance(made, dict)
    assert cli("signing-key", "show", made["keyId"][:8], "--json").json() == made
    assert "retired" in cli("signing-key", "list").out
    assert cli("admin", "signing-key", "remove", made["keyId"]).code == Exit.CONFLICT
    assert cli("signing-key", "show", "zzzzzz").code == Exit.NOT_FOUND
    assert cli("admin", "signing-key", "remove", former[:10]).code == 0
    assert former not in cli("signing-key", "list").out
