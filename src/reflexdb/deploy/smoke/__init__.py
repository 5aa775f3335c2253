"""Trying a new server out before it becomes an image: started once, on a few rows of its source, and questioned."""

from reflexdb.deploy.smoke.trial import try_out

__all__ = ["try_out"]
