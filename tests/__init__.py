"""Tests by room; what several rooms need is in tests/servers and tests/conftest.py."""
