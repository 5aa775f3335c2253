"""Pages of other origins: nothing unless the operator names them, and then a preflight needs no credential."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from reflexdb.api.app import create_app
from reflexdb.api.settings import ApiSettings
from reflexdb.control.control import Control
from tests.api.api import Api

PAGE, STRANGER = "https://app.example.com", "https://evil.example.com"
PREFLIGHT = {
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization, content-type, if-match, idempotency-key",
}


@pytest.fixture
def open_to_a_page(control: Control) -> Iterator[Api]:
    first = control.accounts.ensure_first()
    assert first is not None
    settings = ApiSettings(cors_origins=(PAGE,), cors_credentials=True)
    with TestClient(create_app(control, settings)) as client:
        yield Api(client, first.key)


def test_without_configuration_no_page_is_told_anything(shared: Api) -> None:
    reply = shared("GET", "/databases", headers={"Origin": PAGE})
    preflight = shared.client.options("/v1/databases", headers={"Origin": PAGE, **PREFLIGHT})

    assert not [name for name in reply.headers if name.startswith("access-control")]
    assert preflight.status_code == 405
    assert not [name for name in preflight.headers if name.startswith("access-control")]


def test_a_named_page_may_ask_first_without_a_credential(open_to_a_page: Api) -> None:
    preflight = open_to_a_page.client.options("/v1/databases", headers={"Origin": PAGE, **PREFLIGHT})

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == PAGE
    assert preflight.headers["access-control-allow-credentials"] == "true"
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    assert "Origin" in preflight.headers["vary"]


def test_a_named_page_can_read_answers_and_refusals(open_to_a_page: Api) -> None:
    good = open_to_a_page("GET", "/databases", headers={"Origin": PAGE}, expect=200)
    refused = open_to_a_page.client.get("/v1/databases", headers={"Origin": PAGE})

    assert refused.status_code == 401
    for reply in (good, refused):
        assert reply.headers["access-control-allow-origin"] == PAGE
        assert "ETag" in reply.headers["access-control-expose-headers"]


def test_another_page_is_told_nothing(open_to_a_page: Api) -> None:
    for origin in (STRANGER, PAGE + ".evil.example", PAGE.replace("https", "http"), "null"):
        reply = open_to_a_page("GET", "/databases", headers={"Origin": origin}, expect=200)
        preflight = open_to_a_page.client.options("/v1/databases", headers={"Origin": origin, **PREFLIGHT})
        assert preflight.status_code == 400
        assert "access-control-allow-origin" not in reply.headers
        assert "access-control-allow-origin" not in preflight.headers
