"""Where images are kept besides the data directory, and for which platforms they are built, as the environment says.

Read once by `serve`, with everything checked that can be checked without asking the place itself: a control plane
starts also while its registry is away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from reflexdb.build.aws import S3Images, boto, ecr_login, is_ecr
from reflexdb.build.cross import parse_platforms
from reflexdb.build.registry import Credentials, Login, Place, Registry
from reflexdb.build.remote import Remote
from reflexdb.model.errors import InvalidRequest

_Read = TypeVar("_Read")
REGISTRY = "REFLEXDB_REGISTRY"
USER = "REFLEXDB_REGISTRY_USER"
PASSWORD_FILE = "REFLEXDB_REGISTRY_PASSWORD_FILE"  # noqa: S105 - the variable's name
PLATFORMS = "REFLEXDB_PLATFORMS"
PLAIN_HTTP = "REFLEXDB_REGISTRY_PLAIN_HTTP"


def read_image_place(environment: Mapping[str, str]) -> Remote | None:
    """Raises InvalidRequest with the variable's name."""
    text = environment.get(REGISTRY)
    if not text:
        return None
    if text.startswith("s3://"):
        return _named(lambda: S3Images(text, boto()))
    plain = environment.get(PLAIN_HTTP, "")
    if plain not in {"", "0", "1"}:
        raise InvalidRequest(f"{PLAIN_HTTP} must be 1 or 0")
    place = _named(lambda: Place.parse(text, plain=plain == "1"))
    if is_ecr(place.host) and not environment.get(USER):
        return Registry(place, _named(lambda: ecr_login(place.host, boto())) or (lambda: None))
    return Registry(place, _login(environment))


def _named(read: Callable[[], _Read]) -> _Read:
    """With the variable in front of what is wrong with its value."""
    try:
        return read()
    except InvalidRequest as exc:
        raise InvalidRequest(f"{REGISTRY}: {exc.message}") from exc


def read_platforms(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Raises InvalidRequest with the variable's name."""
    try:
        return parse_platforms(environment.get(PLATFORMS, ""))
    except InvalidRequest as exc:
        raise InvalidRequest(f"{PLATFORMS}: {exc.message}") from exc


def _login(environment: Mapping[str, str]) -> Login:
    """The password's file is read whenever it is asked for, so that it can be replaced at any time."""
    user, file = environment.get(USER), environment.get(PASSWORD_FILE)
    if bool(user) != bool(file):
        raise InvalidRequest(f"{USER} and {PASSWORD_FILE} go together: set both or none")
    if not user or not file:
        return lambda: None

    def read() -> Credentials:
        try:
            return Credentials(user, Path(file).read_text(encoding="utf-8").rstrip("\r\n"))
        except (OSError, UnicodeDecodeError) as exc:
            raise InvalidRequest(f"the file that {PASSWORD_FILE} names can't be read") from exc

    read()
    return read
