"""What is asked of a source outside an instance: each a value that travels to the process that answers it.

`answer` runs there; `heard` is told each time something else is begun, and the deadline counts from then.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from reflexdb.model.errors import SourceError
from reflexdb.model.plan import Plan
from reflexdb.model.schema import SourceSchema
from reflexdb.sources.base import SourceAddress, TestResult
from reflexdb.sources.changes import Follower, FollowOptions
from reflexdb.sources.registry import follower, open_source
from reflexdb.sources.sample import Sample, take

Heard = Callable[[str], None]
T_co = TypeVar("T_co", covariant=True)


class Kind(StrEnum):
    """What a deadline is for."""

    TEST = "test"
    DESCRIBE = "describe"
    READ = "read"


class Question(Protocol[T_co]):
    kind: Kind

    @property
    def address(self) -> SourceAddress: ...

    @property
    def doing(self) -> str:
        """For people: "describing its schema"."""
        ...

    def answer(self, heard: Heard) -> T_co: ...


@dataclass(frozen=True, slots=True)
class Test:
    __test__ = False
    address: SourceAddress
    kind = Kind.TEST
    doing = "testing the connection"

    def answer(self, heard: Heard) -> TestResult:  # noqa: ARG002 - the protocol's
        with closing(open_source(self.address)) as source:
            return source.test()


@dataclass(frozen=True, slots=True)
class Introspect:
    address: SourceAddress
    schema: str
    kind = Kind.DESCRIBE

    @property
    def doing(self) -> str:
        return f"describing schema {self.schema!r}"

    def answer(self, heard: Heard) -> SourceSchema:  # noqa: ARG002 - the protocol's
        with closing(open_source(self.address)) as source:
            return source.introspect(self.schema)


@dataclass(frozen=True, slots=True)
class TakeSample:
    """A few rows of each table, in one view, and when that was taken."""

    address: SourceAddress
    plan: Plan
    kind = Kind.READ
    doing = "beginning a consistent snapshot"

    def answer(self, heard: Heard) -> tuple[Sample, datetime]:
        with closing(open_source(self.address)) as source, source.snapshot(self.plan) as reader:
            return take(reader, self.plan, heard), reader.taken_at


@dataclass(frozen=True, slots=True)
class Following:
    """Who follows, or followed, which schema."""

    address: SourceAddress
    schema: str
    options: FollowOptions

    def follower(self) -> Follower:
        found = follower(self.address, self.schema, self.options)
        assert found is not None, "only what can be followed is asked about following"
        return found


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a source can be followed."""

    mode: str
    issues: tuple[str, ...]
    """What stands in the way; empty where nothing does."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _AboutFollowing:
    following: Following

    @property
    def address(self) -> SourceAddress:
        return self.following.address

    def asked(self) -> closing[Follower]:
        """The follower, until it has answered."""
        return closing(self.following.follower())


@dataclass(frozen=True, slots=True)
class Preflight(_AboutFollowing):
    plan: Plan
    kind = Kind.DESCRIBE
    doing = "looking whether it can be followed"

    def answer(self, heard: Heard) -> Readiness:  # noqa: ARG002 - the protocol's
        with self.asked() as found:
            if issues := found.preflight(self.plan):
                return Readiness(found.mode, issues)
            try:
                return Readiness(found.mode, (), found.warnings(self.plan))
            except SourceError:  # what could be better can't be asked: that stops nothing
                return Readiness(found.mode, ())


@dataclass(frozen=True, slots=True)
class Succeed(_AboutFollowing):
    kind = Kind.DESCRIBE
    doing = "taking the former deployment's place in its log"

    def answer(self, heard: Heard) -> None:  # noqa: ARG002 - the protocol's
        with self.asked() as found:
            found.succeed()


@dataclass(frozen=True, slots=True)
class KeptBytes(_AboutFollowing):
    kind = Kind.DESCRIBE
    doing = "asking how much of its log it keeps"

    def answer(self, heard: Heard) -> int:  # noqa: ARG002 - the protocol's
        with self.asked() as found:
            return found.kept_bytes()


@dataclass(frozen=True, slots=True)
class Drop(_AboutFollowing):
    """Leave nothing at the source."""

    shared: bool
    kind = Kind.DESCRIBE
    doing = "removing what was kept there for a deployment"

    def answer(self, heard: Heard) -> None:  # noqa: ARG002 - the protocol's
        with self.asked() as found:
            found.drop(shared=self.shared)
