"""A key that speaks for the operator: what a token with the operator's group does, at the place where speakers are told
apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reflexdb.control.accounts import ADMIN_GROUP, Speaker
from reflexdb.control.control import Control


def let_operate(control: Control, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the key's speaker is in the operator's group; all else about it stays."""
    ordinary = control.accounts.speaker

    def speaker(credential: str) -> Speaker:
        found = ordinary(credential)
        return replace(found, groups=frozenset({ADMIN_GROUP})) if credential == key else found

    monkeypatch.setattr(control.accounts, "speaker", speaker)
