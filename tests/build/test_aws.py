"""Images at AWS, against moto's server: S3 as a place for them, and the login of ECR.

moto has ECR's own interface and not the registry behind it; that is the distribution specification's, and is tested
against a real registry in test_registry.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reflexdb.build.aws import S3Images, ecr_login
from reflexdb.build.mirrored import MirroredStore
from reflexdb.model.errors import ImageDamaged, InvalidRequest, RegistryError, RegistryRefused, RegistryUnreachable
from tests.servers.aws import Session, make_bucket, needs_moto, running_moto
from tests.servers.spawn import free_port

from .images import image
from .test_signing import Keys

BUCKET = "images-of-tests"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with running_moto(tmp_path_factory.mktemp("moto")) as session:
        make_bucket(session, BUCKET)
        yield session


def silent(_line: str) -> None:
    """Nobody listens."""


@needs_moto
def test_an_image_goes_to_s3_and_comes_back_signed(tmp_path: Path, aws: Session) -> None:
    keys, said = Keys(), list[str]()
    place = S3Images(f"s3://{BUCKET}/team/one", aws)
    here = MirroredStore(tmp_path / "here", place, keys)
    digest = here.put(image(b"binary" * 1000))
    assert here.push(digest, said.append) == f"s3://{BUCKET}/team/one@{digest}"
    here.push(digest, said.append)
    there = MirroredStore(tmp_path / "there", place, keys)
    there.plan(digest)

    assert there.unpack(digest, tmp_path / "instance").read_bytes() == b"binary" * 1000
    assert ", 0 bytes sent, 4 blobs known" in said[1]


@needs_moto
def test_what_is_not_in_s3_or_was_changed_there_is_not_taken(tmp_path: Path, aws: Session) -> None:
    keys = Keys()
    here = MirroredStore(tmp_path / "here", S3Images(f"s3://{BUCKET}/two", aws), keys)
    digest = here.put(image(b"binary" * 100))
    there = MirroredStore(tmp_path / "there", S3Images(f"s3://{BUCKET}/two", aws), keys)
    with pytest.raises(RegistryRefused, match="is not there; push it, or rebuild"):
        there.pull(digest)
    here.push(digest, silent)
    s3 = aws.client("s3")
    for entry in s3.list_objects_v2(Bucket=BUCKET, Prefix="two/blobs/")["Contents"]:
        content = s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()
        s3.put_object(Bucket=BUCKET, Key=entry["Key"], Body=content[:-1] + b"?")
        with pytest.raises((ImageDamaged, RegistryError)):
            there.pull(digest)
        s3.put_object(Bucket=BUCKET, Key=entry["Key"], Body=content)
    there.pull(digest)
    assert there.verify(digest)


@needs_moto
def test_a_bucket_that_is_not_there_and_a_service_that_is_away_are_told_apart(tmp_path: Path, aws: Session) -> None:
    nowhere = MirroredStore(tmp_path / "here", S3Images("s3://no-such-bucket/x", aws))
    digest = nowhere.put(image())
    with pytest.raises(RegistryRefused):
        nowhere.push(digest, silent)
    away = MirroredStore(tmp_path / "here", S3Images(f"s3://{BUCKET}", Session(f"http://127.0.0.1:{free_port()}")))
    with pytest.raises(RegistryUnreachable):
        away.push(digest, silent)


@needs_moto
def test_ecr_gives_the_login_of_its_registry(aws: Session) -> None:
    login = ecr_login("123456789012.dkr.ecr.eu-west-1.amazonaws.com", aws)
    assert login is not None
    credentials = login()

    assert credentials is not None
    assert credentials.user == "AWS"
    assert credentials.password
    assert credentials.password not in repr(credentials)


@pytest.mark.parametrize(
    "text", ["s3://", "s3://Bucket", "s3://bucket/", "s3://bucket/../x", "https://bucket", "s3://b"]
)
def test_what_is_no_place_in_s3_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is no place in S3"):
        S3Images(text, Session("http://127.0.0.1:1"))


def test_other_registries_are_not_logged_in_to_with_ecrs_token() -> None:
    for host in ("registry.example.com", "123456789012.dkr.ecr.eu-west-1.amazonaws.com.example.com", "ecr"):
        assert ecr_login(host, Session("http://127.0.0.1:1")) is None
