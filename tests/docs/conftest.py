"""What the pages' tests share with those of the command line."""

from tests.cli.engine_cache import engine_cache

__all__ = ["engine_cache"]
