"""Fixtures every room may use. The servers' fixtures are in tests/servers/plugin.py."""

from __future__ import annotations

pytest_plugins = ["tests.servers.plugin"]
