"""Signed images: what a key vouches for, public tools confirm, and nothing else is taken out of the store."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from reflexdb.build.base import BuildRequest
from reflexdb.build.local import LocalBuilder
from reflexdb.build.signing import SigningKey, envelope, key_id, pem, signer_of_envelope
from reflexdb.build.store import DirectoryStore
from reflexdb.model.errors import ImageDamaged, ImageUntrusted

from .images import image
from .schemas import blog


@dataclass
class Keys:
    """One key, and those that are trusted besides it."""

    key: SigningKey = field(
        default_factory=lambda: SigningKey.from_private_bytes(Ed25519PrivateKey.generate().private_bytes_raw())
    )
    others: dict[str, Ed25519PublicKey] = field(default_factory=dict)

    def active(self) -> SigningKey:
        return self.key

    def trusted(self) -> dict[str, Ed25519PublicKey]:
        return {self.key.id: self.key.private.public_key(), **self.others}


def openssl(directory: Path, public: str, message: bytes, signature: bytes) -> subprocess.CompletedProcess[str]:
    for name, content in (("key.pub", public.encode()), ("message", message), ("signature", signature)):
        (directory / name).write_bytes(content)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pub", "-rawin", "-in", "message"]
    return subprocess.run(
        [*command, "-sigfile", "signature"], cwd=directory, capture_output=True, text=True, check=False, timeout=60
    )


def blobs(root: Path) -> list[Path]:
    return sorted((root / "blobs" / "sha256").iterdir())


def test_a_signed_image_is_given_out_and_says_who_signed_it(tmp_path: Path) -> None:
    keys = Keys()
    store = DirectoryStore(tmp_path / "images", keys)
    digest = store.put(image(b"binary"))
    signature = store.signature(digest)

    assert store.unpack(digest, tmp_path / "instance").read_bytes() == b"binary"
    assert signature is not None
    assert signature.key_id == keys.key.id
    assert json.loads(signature.payload)["critical"]["image"] == {"docker-manifest-digest": digest}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_confirms_a_signature_and_refuses_a_changed_payload(tmp_path: Path) -> None:
    keys = Keys()
    store = DirectoryStore(tmp_path / "images", keys)
    signature = store.signature(store.put(image()))
    assert signature is not None
    public = pem(keys.key.private.public_key())

    good = openssl(tmp_path, public, signature.payload, signature.signature)
    bad = openssl(tmp_path, public, signature.payload.replace(b"sha256:", b"sha255:"), signature.signature)

    assert (good.returncode, "Verified Successfully" in good.stdout) == (0, True), good.stderr
    assert bad.returncode != 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_confirms_a_statement_by_the_encoding_of_dsse(tmp_path: Path) -> None:
    keys = Keys()
    signed = envelope({"_type": "https://in-toto.io/Statement/v1", "subject": []}, keys.key)
    payload = base64.b64decode(signed["payload"])
    message = b"DSSEv1 28 application/vnd.in-toto+json %d " % len(payload) + payload

    outcome = openssl(
        tmp_path, pem(keys.key.private.public_key()), message, base64.b64decode(signed["signatures"][0]["sig"])
    )

    assert outcome.returncode == 0, outcome.stderr
    assert signer_of_envelope(signed, keys.trusted()) == keys.key.id
    assert signer_of_envelope({**signed, "payloadType": "text/plain"}, keys.trusted()) is None
    assert signer_of_envelope(signed, Keys().trusted()) is None


def test_the_id_of_a_key_is_the_digest_of_its_public_part(tmp_path: Path) -> None:
    public = Keys().key.private.public_key()
    der = base64.b64decode("".join(pem(public).splitlines()[1:-1]))

    assert key_id(public) == hashlib.sha256(der).hexdigest()


def test_a_flipped_bit_in_any_file_of_an_image_is_noticed(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "images", Keys())
    digest = store.put(image())
    assert len(blobs(tmp_path / "images")) == 6, (
        "layer, config and manifest; payload, config and manifest of the signature"
    )

    for path in blobs(tmp_path / "images"):
        content = path.read_bytes()
        for position in {*range(0, len(content), max(1, len(content) // 60)), len(content) - 1}:
            damaged = bytearray(content)
            damaged[position] ^= 1
            path.write_bytes(damaged)
            assert not store.verify(digest), (path.name, position)
            with pytest.raises(ImageDamaged):
                store.unpack(digest, tmp_path / "instance")
        path.write_bytes(content)
    assert store.verify(digest)
    assert not (tmp_path / "instance" / "reflex-server").exists()


def test_a_damaged_index_costs_no_signature(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path, Keys())
    digest = store.put(image())
    index = (tmp_path / "index.json").read_bytes()

    for damaged in (b"", b"[" * 100_000, b"{}", index.replace(b".sig", b".gis")):
        (tmp_path / "index.json").write_bytes(damaged)
        assert store.verify(digest), damaged[:50]


def test_an_unsigned_image_is_refused_by_name(tmp_path: Path) -> None:
    digest = DirectoryStore(tmp_path / "images").put(image())
    store = DirectoryStore(tmp_path / "images", Keys())

    with pytest.raises(ImageUntrusted, match="no key that is trusted here has signed it; rebuild it"):
        store.unpack(digest, tmp_path / "instance")
    assert not store.verify(digest)
    assert store.signature(digest) is None
    store.sign(digest)
    assert store.verify(digest)


def test_a_signature_by_an_unknown_key_or_of_another_image_counts_for_nothing(tmp_path: Path) -> None:
    mine, theirs = Keys(), Keys()
    one = DirectoryStore(tmp_path / "images", theirs).put(image(b"one"))
    store = DirectoryStore(tmp_path / "images", mine)
    assert not store.verify(one)

    other = store.put(image(b"other"))
    signed = next(
        path
        for path in blobs(tmp_path / "images")
        if other.encode() in path.read_bytes() and b"subject" in path.read_bytes()
    )
    forged = signed.read_bytes().replace(other.encode(), one.encode())
    (signed.parent / hashlib.sha256(forged).hexdigest()).write_bytes(forged)
    store.index()

    assert not store.verify(one)
    assert store.verify(other)


def test_a_retired_key_is_trusted_until_it_is_removed(tmp_path: Path) -> None:
    old, new = Keys(), Keys()
    digest = DirectoryStore(tmp_path, old).put(image())
    store = DirectoryStore(tmp_path, new)

    new.others = {old.key.id: old.key.private.public_key()}
    assert store.verify(digest)
    new.others = {}
    assert not store.verify(digest)


def test_storing_an_image_again_signs_it_with_the_key_of_now_and_drops_the_former_signature(tmp_path: Path) -> None:
    digest = DirectoryStore(tmp_path, Keys()).put(image())
    keys = Keys()
    store = DirectoryStore(tmp_path, keys)
    assert store.put(image()) == digest

    signature = store.signature(digest)
    assert signature is not None
    assert signature.key_id == keys.key.id
    tags = [each["annotations"]["org.opencontainers.image.ref.name"] for each in index(tmp_path)]
    assert sorted(tags) == sorted([digest[7:19], digest.replace(":", "-") + ".sig"])
    store.remove(digest)
    assert blobs(tmp_path) == []


def index(root: Path) -> list[dict[str, dict[str, str]]]:
    entries: list[dict[str, dict[str, str]]] = json.loads((root / "index.json").read_bytes())["manifests"]
    return entries


def test_what_nobody_trusted_signed_is_not_reused_but_built_again_to_the_same_digest(
    tmp_path: Path, engine_dir: Path
) -> None:
    request = BuildRequest(blog(), None)
    first = LocalBuilder(tmp_path, engine_dir, Keys()).build(request, print)
    builder = LocalBuilder(tmp_path, engine_dir, Keys())
    again = builder.build(request, print)

    assert (again.image.digest, again.image.reused) == (first.image.digest, False)
    assert builder.build(request, print).image.reused
    assert builder.store.verify(again.image.digest)
