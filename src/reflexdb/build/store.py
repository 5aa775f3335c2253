"""Images in a directory, as an OCI image layout: `oci-layout`, `index.json`, `blobs/sha256/...`.

The image store of the local builder; control, deploy and the builders call it, from any thread and process. An image
is stored exactly when its manifest's blob is there: it is written after what it refers to and removed before it, each
atomically and under one lock, so that a kill at any instant leaves whole images and at worst a blob that the next
change collects. Everything read is verified against its digest. A store with keys signs what it is given, and reads
nothing that none of them has signed. It refuses to know how images are made, and where keys are kept.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from reflexdb.build.base import Log, Signature, StoreUse
from reflexdb.build.files import TEMPORARY_PREFIX, locked, sync_directory, write_atomically
from reflexdb.build.image import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_PATH,
    MANIFEST_TYPE,
    SERVER_PATH,
    Blob,
    ImageParts,
    extract,
)
from reflexdb.build.listing import index_document
from reflexdb.build.manifests import begins_as_json, damaged, descriptors, is_digest
from reflexdb.build.portable import LAYOUT, NAME_ANNOTATION
from reflexdb.build.signing import (
    PAYLOAD_TYPE,
    SignatureManifest,
    SignatureParts,
    SigningKeys,
    read_signature,
    sign_image,
    signature_tag,
    signer_of,
)
from reflexdb.model.errors import BuildFailed, ImageDamaged, ImageUntrusted, Unavailable
from reflexdb.model.plan import Plan


class DirectoryStore:
    """ImageStore on a directory, which is made when the first image is stored."""

    mirrored = False

    def __init__(self, root: Path, keys: SigningKeys | None = None) -> None:
        """Without keys nothing is signed, and signatures are not looked at."""
        self._root = root.absolute()
        self._blobs = self._root / "blobs" / "sha256"
        self._keys = keys
        self._tags: tuple[tuple[int, int, int], dict[str, str]] | None = None
        self._made = set[str]()
        self._untidy = True
        """Whether there may be what a change that broke off has left: who was here before is not known."""

    def uri(self, digest: str) -> str:
        return f"oci:{self._root}@{digest}"

    def put(self, parts: ImageParts) -> str:
        """Store an image and return its digest. Storing it again changes nothing but the signature, where another key
        signs now. Raises BuildFailed("package").
        """
        with self._changing():
            self._made.add(parts.manifest.digest)
            for blob in (parts.layer, parts.config):
                self._put_blob(blob)
            self._put_signature(parts.manifest)
            self._put_blob(parts.manifest)
        return parts.manifest.digest

    def adopt(self, parts: ImageParts, signature: SignatureParts | None) -> None:
        """Store an image that was made elsewhere, with the signature that was beside it: nothing is signed here.

        Its bytes are those of its digests. Raises ImageUntrusted, and then stores nothing; BuildFailed("package").
        """
        digest = parts.manifest.digest
        if self._keys is not None and not (signature and self._vouched(digest, signature)):
            raise ImageUntrusted(
                f"The image {digest:.100} is not trusted: no key that is trusted here has signed it; rebuild it."
            )
        with self._changing():
            for blob in (parts.layer, parts.config):
                self._put_blob(blob)
            for blob in (signature.payload, signature.config, signature.manifest) if signature else ():
                self._put_blob(blob)
            self._put_blob(parts.manifest)

    def _vouched(self, digest: str, signature: SignatureParts) -> bool:
        read = read_signature(signature.manifest.content)
        trusted = self._keys.trusted() if self._keys is not None else {}
        return read is not None and signer_of(digest, signature.payload.content, read.signature, trusted) is not None

    @contextmanager
    def _indexing(self, *, sweeps: bool = True) -> Iterator[None]:
        """The lock, and the index afterwards. Where that is not come to, or was due before and nothing `sweeps`, `tidy`
        is due."""
        with locked(self._root / ".lock"):
            before, self._untidy = self._untidy, True
            yield
            self._write_index()
            self._untidy = before and not sweeps

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """The lock, a layout around what is put, and what the disk refuses in one sentence."""
        try:
            self._blobs.mkdir(parents=True, exist_ok=True)
            with self._indexing():
                self._sweep()
                write_atomically(self._root / "oci-layout", LAYOUT)
                yield
        except OSError as exc:
            if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
                sentence = f"The disk with {self._root} is full; free some space and build again."
            else:
                sentence = f"The image could not be written to {self._root}: {exc.strerror}."
            raise BuildFailed("package", sentence) from exc

    def size_bytes(self, digest: str) -> int:
        """Bytes of all its blobs. Raises ImageDamaged."""
        manifest = self._read(digest)
        described = descriptors(digest, manifest)
        return len(manifest) + sum(int(descriptor["size"]) for descriptor in described)

    def verify(self, digest: str) -> bool:
        return self.why_not(digest) is None

    def why_not(self, digest: str) -> str | None:
        try:
            self._contents(digest)
        except ImageDamaged as exc:
            return exc.message
        return None

    def signature(self, digest: str) -> Signature | None:
        """By a trusted key; None where there is none. Of the image itself nothing is read."""
        trusted = self._keys.trusted() if self._keys is not None else {}
        for each, found in self._signatures_of(digest) if is_digest(digest) and self._blobs.is_dir() else ():
            try:
                self._read(each)
                self._read(found.config)
                payload = self._read(found.payload)
            except ImageDamaged:
                continue
            signer = signer_of(digest, payload, found.signature, trusted)
            if signer is not None:
                return Signature(signer, payload, found.signature)
        return None

    def signature_parts(self, digest: str) -> SignatureParts | None:
        """The blobs of a signature by a trusted key; None where there is none."""
        wanted = self.signature(digest)
        for each, found in self._signatures_of(digest) if wanted else ():
            if wanted and found.signature == wanted.signature:
                manifest = Blob(MANIFEST_TYPE, self._read(each))
                return SignatureParts(
                    manifest, Blob(CONFIG_TYPE, self._read(found.config)), Blob(PAYLOAD_TYPE, self._read(found.payload))
                )
        return None

    def push(self, digest: str, log: Log) -> str:  # noqa: ARG002 - there is nothing to log
        """There is nowhere to push to. Raises Unavailable."""
        raise Unavailable(
            f"No registry is configured here, so {digest:.100} can't be pushed; REFLEXDB_REGISTRY names one"
        )

    def pull(self, digest: str) -> None:
        """There is nowhere to pull from. Raises Unavailable."""
        raise Unavailable(
            f"No registry is configured here, so {digest:.100} can't be pulled; REFLEXDB_REGISTRY names one"
        )

    def sign(self, digest: str) -> None:
        """Sign an image that is here already. Raises ImageDamaged where it is not whole."""
        manifest = Blob(MANIFEST_TYPE, self._read(digest))
        self._whole(digest)
        with self._indexing(sweeps=False):
            self._put_signature(manifest)

    def document(self, digest: str) -> dict[str, Any]:
        """The image's /reflexdb/manifest.json. Raises ImageDamaged."""
        return self._contents(digest)[1]

    def parts(self, digest: str) -> ImageParts:
        """The blobs of an image, to be put elsewhere. Raises ImageDamaged."""
        self._contents(digest)
        manifest = self._read(digest)
        config, layer = (self._read(each["digest"]) for each in descriptors(digest, manifest))
        architecture = str(json.loads(config)["architecture"])
        return ImageParts(
            Blob(MANIFEST_TYPE, manifest), Blob(CONFIG_TYPE, config), Blob(LAYER_TYPE, layer), architecture
        )

    def plan(self, digest: str) -> Plan:
        try:
            return Plan.from_json(self.document(digest)["plan"])
        except (KeyError, TypeError, ValueError) as exc:
            raise damaged(digest, "its manifest holds no plan of this version") from exc

    def unpack(self, digest: str, directory: Path) -> Path:
        binary, _ = self._contents(digest)
        target = directory / SERVER_PATH
        directory.mkdir(parents=True, exist_ok=True)
        write_atomically(target, binary, mode=0o755)
        return target

    def remove(self, digest: str) -> None:
        """Forget an image and what only it used. An unknown digest is fine; a full disk does not prevent it."""
        if not is_digest(digest) or not self._blobs.is_dir():
            return
        with self._indexing():
            if digest in self._manifests():
                self._path(digest).unlink()
            self._sweep()

    def made(self) -> set[str]:
        return set(self._made)

    def tidy(self) -> None:
        """Remove what a change that broke off could not; a store that nothing was left in is not looked at."""
        if not self._untidy or not self._blobs.is_dir():
            return
        with self._indexing():
            self._sweep()

    def blobs(self, digest: str) -> list[Path]:
        """The files of an image, and of its signature where it has one; those of an image in the order in which they
        may be put elsewhere, none of them compared with its digest. Raises ImageDamaged.
        """
        parts = [part["digest"] for part in descriptors(digest, self._read(digest))]
        for each, signature in self._signatures_of(digest):
            parts += [signature.payload, signature.config, each]
        return [self._path(each) for each in dict.fromkeys((*parts, digest))]

    def index(self) -> None:
        """Make a layout of the blobs that were put here as files."""
        self._blobs.mkdir(parents=True, exist_ok=True)
        with self._indexing(sweeps=False):
            write_atomically(self._root / "oci-layout", LAYOUT)

    def use(self) -> StoreUse:
        """What every file here takes; what another process removes meanwhile is left out."""
        place = next(each for each in (self._root, *self._root.parents) if each.is_dir())
        taken = 0
        for path in (*self._root.glob("*"), *self._blobs.glob("*")):
            with suppress(OSError):
                taken += path.stat().st_size if path.is_file() else 0
        return StoreUse(taken, shutil.disk_usage(place).free)

    def _contents(self, digest: str) -> tuple[bytes, dict[str, Any]]:
        """The binary and the manifest document, after every byte of the image was compared with its digest, and its
        signature with the keys.
        """
        found = self._whole(digest)
        if self._keys is not None and self.signature(digest) is None:
            raise ImageUntrusted(
                f"The stored image {digest:.100} is not trusted: no key that is trusted here has signed it; rebuild it."
            )
        return found

    def _signatures_of(self, digest: str) -> Iterator[tuple[str, SignatureManifest]]:
        """Those that the index names, then, where none of them was good enough, whatever else is here."""
        named = self._tagged().get(signature_tag(digest))
        known = self._read_signature(named) if named else None
        if named and known and known.subject == digest:
            yield named, known
        for path in sorted(self._blobs.iterdir()):
            each = f"sha256:{path.name}"
            if each != named and begins_as_json(path):
                found = self._read_signature(each)
                if found is not None and found.subject == digest:
                    yield each, found

    def _read_signature(self, digest: str) -> SignatureManifest | None:
        try:
            return read_signature(self._read(digest))
        except ImageDamaged:
            return None

    def _tagged(self) -> dict[str, str]:
        """What the index calls signatures, by tag; nothing where it can't be read."""
        path = self._root / "index.json"
        try:
            stat = path.stat()
            identity = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if self._tags is not None and self._tags[0] == identity:
                return self._tags[1]
            entries = json.loads(path.read_bytes())["manifests"]
            found = {each["annotations"][NAME_ANNOTATION]: each["digest"] for each in entries}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}
        self._tags = (identity, found)
        return found

    def _whole(self, digest: str) -> tuple[bytes, dict[str, Any]]:
        config, layer = descriptors(digest, self._read(digest))
        self._read(config["digest"], config["size"])
        content = self._read(layer["digest"], layer["size"])
        try:
            document = json.loads(extract(content, MANIFEST_PATH))
            binary = extract(content, SERVER_PATH)
            intact = document["binary"]["sha256"] == hashlib.sha256(binary).hexdigest()
        except (KeyError, TypeError, ValueError, tarfile.TarError) as exc:
            raise damaged(digest, "its layer does not hold a server and its manifest") from exc
        if not intact:
            raise damaged(digest, "the server is not the one its manifest describes")
        return binary, document

    def _read(self, digest: str, size: int | None = None) -> bytes:
        if not is_digest(digest):
            raise ImageDamaged(f"{digest!r:.100} is not a digest of the form sha256:<64 hex digits>.")
        path = self._path(digest)
        try:
            if size is not None and path.stat().st_size != size:
                raise damaged(digest, "its size differs")
            content = path.read_bytes()
        except OSError as exc:
            raise damaged(digest, f"it could not be read ({exc.strerror})") from exc
        if hashlib.sha256(content).hexdigest() != digest.removeprefix("sha256:"):
            raise damaged(digest, "its bytes do not match the digest")
        return content

    def _path(self, digest: str) -> Path:
        return self._blobs / digest.removeprefix("sha256:")

    def _put_blob(self, blob: Blob) -> None:
        try:
            self._read(blob.digest)
        except ImageDamaged:
            write_atomically(self._path(blob.digest), blob.content)

    def _put_signature(self, image: Blob) -> None:
        """Only under the lock. An earlier one of the same image goes last, so that it is never without."""
        if self._keys is None:
            return
        parts = sign_image(image, self._keys.active())
        for blob in (parts.payload, parts.config, parts.manifest):
            self._put_blob(blob)
        for digest, signature in self._signatures().items():
            if signature.subject == image.digest and digest != parts.manifest.digest:
                self._path(digest).unlink(missing_ok=True)

    def _signatures(self) -> dict[str, SignatureManifest]:
        """Every intact signature by digest, in their order."""
        paths = [path for path in sorted(self._blobs.iterdir()) if begins_as_json(path)]
        found = {f"sha256:{path.name}": self._read_signature(f"sha256:{path.name}") for path in paths}
        return {digest: signature for digest, signature in found.items() if signature is not None}

    def _manifests(self) -> dict[str, bytes]:
        """Every intact manifest by digest, in their order. A layer is a tar and never begins like JSON."""
        found: dict[str, bytes] = {}
        for path in sorted(self._blobs.iterdir()):
            digest = f"sha256:{path.name}"
            try:
                content = self._read(digest) if begins_as_json(path) else b""
                descriptors(digest, content)
            except ImageDamaged:
                continue
            found[digest] = content
        return found

    def _write_index(self) -> None:
        """The index is for other tools, made from the manifests that are here: a damaged one costs no image."""
        subjects = {digest: signature.subject for digest, signature in self._signatures().items()}
        write_atomically(self._root / "index.json", index_document(self._manifests(), subjects, self._read))

    def _sweep(self) -> None:
        """Remove blobs that no image uses, and what an interrupted write left. Only under the lock."""
        used = set()
        for digest, manifest in self._manifests().items():
            used |= {digest, *(descriptor["digest"] for descriptor in descriptors(digest, manifest))}
        for digest, signature in self._signatures().items():
            if signature.subject in used:
                used |= {digest, signature.payload, signature.config}
        unused = [path for path in self._blobs.iterdir() if f"sha256:{path.name}" not in used]
        for path in (*unused, *self._root.glob(f"{TEMPORARY_PREFIX}*")):
            path.unlink(missing_ok=True)
        sync_directory(self._blobs)
