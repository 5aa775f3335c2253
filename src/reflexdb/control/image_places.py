"""Who makes images, where they are kept besides the data directory, and for which platforms, as the environment says.

Read once by `serve`, with everything checked that can be checked without asking the place itself: a control plane
starts also while its registry is away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from reflexdb.build.aws import S3Images, boto, ecr_login, is_ecr
from reflexdb.build.codebuild import CodeBuild, Project
from reflexdb.build.cross import parse_platforms
from reflexdb.build.local import LocalBuilder
from reflexdb.build.registry import Credentials, Login, Place, Registry
from reflexdb.build.remote import Remote
from reflexdb.build.signing import SigningKeys
from reflexdb.model.errors import InvalidRequest

_Read = TypeVar("_Read")
REGISTRY = "REFLEXDB_REGISTRY"
USER = "REFLEXDB_REGISTRY_USER"
PASSWORD_FILE = "REFLEXDB_REGISTRY_PASSWORD_FILE"  # noqa: S105 - the variable's name
PLATFORMS = "REFLEXDB_PLATFORMS"
PLAIN_HTTP = "REFLEXDB_REGISTRY_PLAIN_HTTP"
PROJECT = "REFLEXDB_CODEBUILD_PROJECT"
TASKS = "REFLEXDB_CODEBUILD_TASKS"


@dataclass(frozen=True, slots=True)
class ImagePlaces:
    """What the operator chose; without anything, images are made and kept here."""

    elsewhere: Remote | None = None
    platforms: tuple[str, ...] = ()
    project: Project | None = None

    def builder(self, data_dir: Path, keys: SigningKeys) -> CodeBuild | LocalBuilder:
        if self.project is not None:
            return CodeBuild(data_dir, self.project, keys, self.elsewhere)
        return LocalBuilder(data_dir, keys=keys, elsewhere=self.elsewhere, platforms=self.platforms)


def read_image_places(environment: Mapping[str, str]) -> ImagePlaces:
    """Raises InvalidRequest with the variable's name."""
    chosen = ImagePlaces(_elsewhere(environment), _platforms(environment), _project(environment))
    if chosen.project is not None and chosen.platforms:
        raise InvalidRequest(f"{PLATFORMS} is for images that are made here; unset it or {PROJECT}")
    return chosen


def _elsewhere(environment: Mapping[str, str]) -> Remote | None:
    text = environment.get(REGISTRY)
    if not text:
        return None
    if text.startswith("s3://"):
        return _named(REGISTRY, lambda: S3Images(text, boto()))
    plain = environment.get(PLAIN_HTTP, "")
    if plain not in {"", "0", "1"}:
        raise InvalidRequest(f"{PLAIN_HTTP} must be 1 or 0")
    place = _named(REGISTRY, lambda: Place.parse(text, plain=plain == "1"))
    if is_ecr(place.host) and not environment.get(USER):
        return Registry(place, _named(REGISTRY, lambda: ecr_login(place.host, boto())) or (lambda: None))
    return Registry(place, _login(environment))


def _named(variable: str, read: Callable[[], _Read]) -> _Read:
    """With the variable in front of what is wrong with its value."""
    try:
        return read()
    except InvalidRequest as exc:
        raise InvalidRequest(f"{variable}: {exc.message}") from exc


def _platforms(environment: Mapping[str, str]) -> tuple[str, ...]:
    return _named(PLATFORMS, lambda: parse_platforms(environment.get(PLATFORMS, "")))


def _project(environment: Mapping[str, str]) -> Project | None:
    name, tasks = environment.get(PROJECT), environment.get(TASKS)
    if bool(name) != bool(tasks):
        raise InvalidRequest(f"{PROJECT} and {TASKS} go together: set both or none")
    if not name or not tasks:
        return None
    return _named(f"{PROJECT}, {TASKS}", lambda: Project(name, tasks, boto()))


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
