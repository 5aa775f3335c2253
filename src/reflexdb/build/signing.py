"""Signatures as public tools know them: Ed25519, over cosign's payload for an image, over DSSE for a statement on one.

Called by the image store and by control, which keeps the keys. Pure: bytes in, bytes out. What is signed names the
image by the digest of its manifest, and that names every other byte of it. It refuses to know files and records.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from reflexdb.build.image import CONFIG_TYPE, MANIFEST_TYPE, Blob, canonical_json

PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature"
KEY_ANNOTATION = "reflexdb.key-id"
STATEMENT_TYPE = "application/vnd.in-toto+json"
_IMAGE_SIGNATURE = "cosign container image signature"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key pair; `private` never leaves memory unencrypted."""

    id: str
    private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def from_private_bytes(cls, raw: bytes) -> SigningKey:
        private = Ed25519PrivateKey.from_private_bytes(raw)
        return cls(key_id(private.public_key()), private)

    def sign(self, message: bytes) -> bytes:
        return self.private.sign(message)


Trusted = Mapping[str, Ed25519PublicKey]
"""Public keys whose signatures count, by their ids."""


class SigningKeys(Protocol):
    """The keys of whoever builds here."""

    def active(self) -> SigningKey:
        """The one that signs now."""
        ...

    def trusted(self) -> Trusted:
        """The active one, and retired ones until they are removed."""
        ...


def key_id(public: Ed25519PublicKey) -> str:
    """SHA-256 of the public key as DER, in hex: what `openssl pkey -pubin -outform DER | sha256sum` prints."""
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def pem(public: Ed25519PublicKey) -> str:
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode(
        "ascii"
    )


@dataclass(frozen=True, slots=True)
class SignatureParts:
    """A signature as an OCI manifest of its own, whose one layer is the payload that was signed."""

    manifest: Blob
    config: Blob
    payload: Blob


def signature_tag(digest: str) -> str:
    """What cosign calls the signature of the image with this digest."""
    return digest.replace(":", "-") + ".sig"


def sign_image(image: Blob, key: SigningKey) -> SignatureParts:
    """`image` is the manifest's blob. Ed25519 is deterministic: the same key and image give the same bytes."""
    payload = Blob(PAYLOAD_TYPE, _payload(image.digest))
    config = {"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": [payload.digest]}}
    config_blob = Blob(CONFIG_TYPE, canonical_json(config))
    signature = base64.b64encode(key.sign(payload.content)).decode("ascii")
    layer = {**payload.descriptor(), "annotations": {SIGNATURE_ANNOTATION: signature, KEY_ANNOTATION: key.id}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config_blob.descriptor(),
        "layers": [layer],
        "subject": image.descriptor(),
    }
    return SignatureParts(Blob(MANIFEST_TYPE, canonical_json(manifest)), config_blob, payload)


@dataclass(frozen=True, slots=True)
class SignatureManifest:
    """What a signature's manifest says."""

    subject: str
    payload: str
    """Digests, as of the config."""
    config: str
    signature: bytes
    key_id: str


def read_signature(manifest: bytes) -> SignatureManifest | None:
    """None where it is no signature of ours or of cosign's with a subject."""
    try:
        document = json.loads(manifest)
        (layer,) = document["layers"]
        if (document["mediaType"], layer["mediaType"]) != (MANIFEST_TYPE, PAYLOAD_TYPE):
            return None
        notes = layer["annotations"]
        digests = [document["subject"]["digest"], layer["digest"], document["config"]["digest"]]
        if not all(isinstance(each, str) for each in digests):
            return None
        signature = base64.b64decode(notes[SIGNATURE_ANNOTATION], validate=True)
        return SignatureManifest(digests[0], digests[1], digests[2], signature, str(notes.get(KEY_ANNOTATION)))
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def signer_of(digest: str, payload: bytes, signature: bytes, trusted: Trusted) -> str | None:
    """The id of the trusted key that signed exactly this image; None where none did."""
    if payload != _payload(digest):
        return None
    return _signer(payload, signature, trusted)


def envelope(statement: Mapping[str, Any], key: SigningKey) -> dict[str, Any]:
    """An in-toto statement in a DSSE envelope."""
    payload = canonical_json(statement)
    signature = key.sign(_pre_authentication(STATEMENT_TYPE, payload))
    return {
        "payloadType": STATEMENT_TYPE,
        "payload": base64.b64encode(payload).decode("ascii"),
        "signatures": [{"keyid": key.id, "sig": base64.b64encode(signature).decode("ascii")}],
    }


def signer_of_envelope(document: Mapping[str, Any], trusted: Trusted) -> str | None:
    """The id of the trusted key that signed the envelope; None where none did."""
    try:
        payload = base64.b64decode(document["payload"], validate=True)
        signatures = [base64.b64decode(each["sig"], validate=True) for each in document["signatures"]]
        message = _pre_authentication(document["payloadType"], payload)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error):
        return None
    return next(filter(None, (_signer(message, each, trusted) for each in signatures)), None)


def _signer(message: bytes, signature: bytes, trusted: Trusted) -> str | None:
    for name, public in trusted.items():
        try:
            public.verify(signature, message)
        except InvalidSignature:
            continue
        return name
    return None


def _payload(digest: str) -> bytes:
    """Cosign's simple signing. No name is signed: an image is what its digest says, wherever it is."""
    critical = {
        "identity": {"docker-reference": ""},
        "image": {"docker-manifest-digest": digest},
        "type": _IMAGE_SIGNATURE,
    }
    return canonical_json({"critical": critical, "optional": None})


def _pre_authentication(kind: str, payload: bytes) -> bytes:
    """DSSE's encoding of what is signed: lengths in front, so that no two pairs of type and payload are the same."""
    name = kind.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)
