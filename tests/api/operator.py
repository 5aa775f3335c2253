"""A key that speaks for the operator: what a token with the operator's group does, at the place where speakers are told
apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reflexdb.control.accounts import ADMIN_GROUP, Speaker
from reflexdb.control.control import Control


def let_operate(control: Control, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the key's speaker is in the operator's group; all else about it stays."""
    ordinary, remembered = control.accounts.speaker, control.accounts.remembered

    def operating(found: Speaker, credential: str) -> Speaker:
        return replace(found, groups=frozenset({ADMIN_GROUP})) if credential == key else found

    def known(credential: str) -> Speaker | None:
        found = remembered(credential)
        return None if found is None else operating(found, credential)

    monkeypatch.setattr(control.accounts, "speaker", lambda credential: operating(ordinary(credential), credential))
    monkeypatch.setattr(control.accounts, "remembered", known)
