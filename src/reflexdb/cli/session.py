"""Where the control plane is and with which key: the options all commands share, resolved once.

Asked by every command. REFLEXDB_URL and REFLEXDB_KEY win; without them the files that a control plane on this machine
writes into its data directory are read. The key of that directory is sent to this machine only, never to an address
from elsewhere.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import typer

from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.client import ReflexClient
from reflexdb.client.admin import OperatorClient
from reflexdb.client.transport import is_loopback


@dataclass(frozen=True, slots=True)
class Session:
    """The shared options as they were given."""

    url: str | None
    data: Path
    debug: bool

    def client(self) -> ReflexClient:
        """A client of the control plane that these options, the environment or the data directory name."""
        url = self.url or self._local_url()
        return ReflexClient(url, self._key(url))

    def _local_url(self) -> str:
        path = self.data / "control.json"
        try:
            url = json.loads(path.read_text())["url"]
        except FileNotFoundError:
            raise CommandFailed(
                Exit.UNREACHABLE,
                f"no control plane is known: set REFLEXDB_URL and REFLEXDB_KEY, or start one with `reflexdb serve` "
                f"(looked in {self.data})",
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CommandFailed(Exit.UNREACHABLE, f"{path} cannot be read: {error}") from error
        return str(url)

    def operator(self) -> OperatorClient:
        """The same for the operator: REFLEXDB_OPERATOR_KEY, a token in REFLEXDB_KEY, or the directory's operator key.

        A management key is never the operator's, so one in REFLEXDB_KEY is passed over.
        """
        url = self.url or self._local_url()
        given = os.environ.get("REFLEXDB_OPERATOR_KEY", "").strip() or os.environ.get("REFLEXDB_KEY", "").strip()
        if given and not given.startswith("rmk_"):
            return OperatorClient(url, given)
        return OperatorClient(url, self._from_file(url, "operator.key", "REFLEXDB_OPERATOR_KEY to the operator key"))

    def _key(self, url: str) -> str:
        given = os.environ.get("REFLEXDB_KEY", "").strip()
        return given or self._from_file(url, "admin.key", "REFLEXDB_KEY to a management key")

    def _from_file(self, url: str, name: str, remedy: str) -> str:
        """The key in a file of the data directory, for a control plane on this machine and no other."""
        if not is_loopback(urlsplit(url).hostname or ""):
            raise CommandFailed(Exit.UNAUTHORIZED, f"no key for {url}: set {remedy}")
        path = self.data / name
        try:
            return path.read_text().strip()
        except OSError as error:
            raise CommandFailed(Exit.UNAUTHORIZED, f"no key: set {remedy} ({path}: {error.strerror})") from error


def default_data() -> Path:
    """$REFLEXDB_DATA, or the place the desktop conventions give to a program's data."""
    named = os.environ.get("REFLEXDB_DATA")
    if named:
        return Path(named)
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "reflexdb"


def session(context: typer.Context) -> Session:
    """The session that the root command put into the context."""
    shared = context.find_root().obj
    assert isinstance(shared, Session)
    return shared
