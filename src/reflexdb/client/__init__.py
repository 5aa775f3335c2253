"""The Python client: `ReflexClient` for the control plane, `QueryClient` for an instance's queries.

Speaks HTTP only, and is how the command line reaches the control plane, as any user's program would. Blocking; no
thread, no cache.
"""

from reflexdb.client.builds import log_path
from reflexdb.client.control import ReflexClient
from reflexdb.client.errors import ApiError, ClientError, Unreachable, UnusableKey
from reflexdb.client.query import QueryClient

__all__ = ["ApiError", "ClientError", "QueryClient", "ReflexClient", "Unreachable", "UnusableKey", "log_path"]
