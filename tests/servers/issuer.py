"""A little OIDC issuer on loopback: discovery, keys, and tokens signed with them, good ones and every kind of bad.

`LittleIssuer` serves from a thread of its own and can be told to rotate its keys, to fail, to send too much or to
drip; it counts what it was asked. `tls` gives it a certificate that nobody vouches for but itself.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

AUDIENCE = "reflexdb"
_RSA: list[rsa.RSAPrivateKey] = []


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key and how it signs."""

    private: Any
    algorithm: str
    key_id: str

    def public(self, **changes: Any) -> dict[str, Any]:
        algorithm = get_default_algorithms()[self.algorithm]
        entry = json.loads(algorithm.to_jwk(self.private.public_key()))  # type: ignore[attr-defined]
        return {**entry, "kid": self.key_id, "use": "sig", **changes}


def signer(algorithm: str = "ES256") -> Signer:
    curves = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
    key_id = uuid.uuid4().hex
    if algorithm in curves:
        return Signer(ec.generate_private_key(curves[algorithm]()), algorithm, key_id)
    if algorithm == "EdDSA":
        return Signer(ed25519.Ed25519PrivateKey.generate(), algorithm, key_id)
    if not _RSA:  # making one takes a while; tests differ in what they do with it
        _RSA.append(rsa.generate_private_key(65537, 2048))
    return Signer(_RSA[0], algorithm, key_id)


class LittleIssuer:
    def __init__(self, *, tls: Path | None = None) -> None:
        self.signer = signer()
        self.keys: list[dict[str, Any]] = [self.signer.public()]
        self.asked: list[str] = []
        self.down = False
        self.documents: dict[str, bytes] = {}
        """Answers that replace the right ones, by path."""
        self.drip_s = 0.0
        """Between two bytes of an answer."""
        self.gate = threading.Event()
        """Answers wait for it."""
        self.gate.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate(tls))
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def rotate(self, algorithm: str = "ES256") -> Signer:
        """Sign with a new key from now on; the former one is withdrawn."""
        self.signer = signer(algorithm)
        self.keys = [self.signer.public()]
        return self.signer

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Of a good token; None removes one."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 300, **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, headers: dict[str, Any] | None = None, by: Signer | None = None, **changes: Any) -> str:
        by = by or self.signer
        named = {"kid": by.key_id, **(headers or {})}
        given = {name: value for name, value in named.items() if value is not None}
        return jwt.api_jws.encode(json.dumps(self.claims(**changes)).encode(), by.private, by.algorithm, given)

    def answer(self, path: str) -> bytes | None:
        if path in self.documents:
            return self.documents[path]
        found = {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
            "/keys": {"keys": self.keys},
        }.get(path)
        return None if found is None else json.dumps(found).encode()


def _handler(issuer: LittleIssuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            issuer.gate.wait(30)
            body = issuer.answer(self.path)
            self.send_response(503 if issuer.down else 200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            try:
                self._write(body or b"")
            except OSError:
                self.close_connection = True  # the other side has had enough, which is what some tests are about

        def _write(self, body: bytes) -> None:
            if not issuer.drip_s:
                self.wfile.write(body)
                return
            for place in range(len(body)):
                self.wfile.write(body[place : place + 1])
                self.wfile.flush()
                time.sleep(issuer.drip_s)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def certificate(directory: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that it signed itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "little issuer")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = directory / "issuer.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@contextmanager
def little_issuer(*, tls: Path | None = None) -> Iterator[LittleIssuer]:
    issuer = LittleIssuer(tls=tls)
    try:
        yield issuer
    finally:
        issuer.close()
