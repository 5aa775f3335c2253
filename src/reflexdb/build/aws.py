"""AWS as a place for images: S3 as a `Remote`, and the login of ECR, which otherwise is a registry like any other.

Used where the operator names an S3 address or an ECR registry, and by what builds at CodeBuild; needs the extra `aws`
(boto3). Credentials are found as every tool of AWS finds them (environment, profile, role), and never held here. In S3
blobs lie as in an OCI layout, and each tag is an object that holds a digest: no object is ever changed in a way that a
reader could see half of. It refuses to know images.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from reflexdb.build.image import Blob
from reflexdb.build.registry import Credentials, Login
from reflexdb.build.remote import MAX_MANIFEST_BYTES
from reflexdb.model.errors import InvalidRequest, RegistryDenied, RegistryRefused, RegistryUnreachable

_PART = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_S3 = re.compile(rf"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9])(?:/(?P<prefix>{_PART}(?:/{_PART})*))?")
_ECR = re.compile(r"[0-9]{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403",
                     "UnrecognizedClientException", "ExpiredToken", "ExpiredTokenException"})  # fmt: skip
_MISSING = frozenset({"NoSuchKey", "404"})


class Clients(Protocol):
    """boto3's session, or a module that has `client`."""

    def client(self, service_name: str, **options: Any) -> Any: ...


def is_ecr(host: str) -> bool:
    return _ECR.fullmatch(host) is not None


class _Session:
    """boto3's, with limits on waiting that suit a control plane."""

    def __init__(self) -> None:
        import boto3
        from botocore.config import Config

        self._session = boto3.session.Session()
        self._config = Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 4})

    def client(self, service_name: str, **options: Any) -> Any:
        return self._session.client(service_name, config=self._config, **options)


def boto() -> Clients:
    """Raises InvalidRequest where the extra is not installed."""
    try:
        return _Session()
    except ImportError as exc:
        raise InvalidRequest("what is at AWS needs boto3; install it (pip install 'reflexdb[aws]')") from exc


class Bucket:
    """Objects under one address, `s3://bucket/prefix`. For any thread. Every method raises RegistryDenied,
    RegistryRefused or RegistryUnreachable."""

    def __init__(self, address: str, clients: Clients) -> None:
        """Raises InvalidRequest."""
        match = _S3.fullmatch(address)
        if match is None:
            raise InvalidRequest(f"{address[:300]!r} is no place in S3: give it as s3://bucket or s3://bucket/prefix")
        self.address = address
        self._bucket = match["bucket"]
        self._prefix = f"{match['prefix']}/" if match["prefix"] else ""
        with self._translated("reach"):
            self._s3 = clients.client("s3")

    def size(self, key: str) -> int | None:
        """None where there is no such object."""
        with self._translated("look into"):
            try:
                return int(self._s3.head_object(Bucket=self._bucket, Key=self._prefix + key)["ContentLength"])
            except Exception as exc:
                if _code(exc) not in _MISSING:
                    raise
                return None

    def put(self, key: str, content: bytes, media_type: str = "application/octet-stream") -> None:
        with self._translated("write to"):
            self._s3.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=content, ContentType=media_type)

    def get(self, key: str, most: int) -> bytes | None:
        """None where there is no such object; one of more than `most` bytes is refused."""
        with self._translated("read from"):
            try:
                found = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + key)
            except Exception as exc:
                if _code(exc) in _MISSING:
                    return None
                raise
            content: bytes = found["Body"].read(most + 1)
        if len(content) > most:
            raise RegistryRefused(f"{self.address} holds more than the {most:,} bytes that were expected")
        return content

    def clear(self) -> None:
        """Remove everything below the prefix."""
        assert self._prefix, "a whole bucket is not ours to clear"
        with self._translated("clear"):
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix):
                for entry in page.get("Contents", ()):
                    self._s3.delete_object(Bucket=self._bucket, Key=entry["Key"])

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        with translated(f"{self.address} ({doing})"):
            yield


class S3Images:
    """Remote on a bucket: `s3://bucket/prefix`. For any thread."""

    def __init__(self, address: str, clients: Clients) -> None:
        """Raises InvalidRequest."""
        self._bucket = Bucket(address, clients)

    def address(self, digest: str) -> str:
        return f"{self._bucket.address}@{digest}"

    def put_blob(self, blob: Blob) -> bool:
        key = _blob_key(blob.digest)
        if self._bucket.size(key) == len(blob.content):
            return False
        self._bucket.put(key, blob.content, blob.media_type)
        return True

    def put_manifest(self, manifest: Blob, tag: str) -> None:
        self.put_blob(manifest)
        self._bucket.put(f"tags/{tag}", manifest.digest.encode())

    def manifest(self, reference: str) -> bytes | None:
        digest = reference
        if not reference.startswith("sha256:"):
            named = self._bucket.get(f"tags/{reference}", 100)
            if named is None:
                return None
            digest = named.decode("ascii", "replace")
        return self._bucket.get(_blob_key(digest), MAX_MANIFEST_BYTES)

    def blob(self, digest: str, size: int) -> bytes:
        content = self._bucket.get(_blob_key(digest), size)
        if content is None:
            raise RegistryRefused(f"{self._bucket.address} lacks {digest:.100}; push the image again, or rebuild")
        return content


def _blob_key(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def ecr_login(host: str, clients: Clients) -> Login | None:
    """What logs in at an ECR registry; None where the host is none. Asked again whenever the token has expired."""
    match = _ECR.fullmatch(host)
    if match is None:
        return None

    def log_in() -> Credentials:
        with translated(host):
            answer = clients.client("ecr", region_name=match["region"]).get_authorization_token()
            token = answer["authorizationData"][0]["authorizationToken"]
        try:
            user, _, password = base64.b64decode(token).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError) as exc:
            raise RegistryDenied(f"{host} gave a token that is none") from exc
        return Credentials(user, password)

    return log_in


def _code(exc: Exception) -> str:
    """The service's word for what is wrong; empty where it said none."""
    response = getattr(exc, "response", None)
    error = response.get("Error") if isinstance(response, dict) else None
    return str(error.get("Code", "")) if isinstance(error, dict) else ""


@contextmanager
def translated(where: str) -> Iterator[None]:
    """boto3's errors in our words. Their texts stay out: they may name keys and requests."""
    try:
        yield
    except Exception as exc:
        if not type(exc).__module__.startswith("botocore."):
            raise
        code = _code(exc)
        if code in _DENIED or type(exc).__name__ in {"NoCredentialsError", "PartialCredentialsError"}:
            raise RegistryDenied(f"{where} does not let us in: {code or 'no credentials were found'}") from exc
        if code:
            raise RegistryRefused(f"{where} refused: {code}") from exc
        raise RegistryUnreachable(f"{where} can't be reached: {type(exc).__name__}") from exc
