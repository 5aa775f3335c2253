"""One image as one file that any tool takes: an OCI layout and what older `docker load` reads, in the same tar.

Called by control when somebody asks for an image. The blobs are the store's own, so the digest is the same wherever
the file goes; `manifest.json` beside them is Docker's older list, which the OCI specification allows to be there. Pure
and reproducible, as image.py is. It refuses to know stores and files.
"""

from __future__ import annotations

import io
import tarfile

from reflexdb.build.image import Blob, ImageParts, canonical_json

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYOUT = canonical_json({"imageLayoutVersion": "1.0.0"})
NAME_ANNOTATION = "org.opencontainers.image.ref.name"
REPOSITORY = "reflexdb"
"""What `docker load` and `podman load` call an image, before its tag."""


def short_tag(digest: str) -> str:
    """The tag of an image wherever it has one: the first 12 digits of its digest."""
    return digest.removeprefix("sha256:")[:12]


def archive(parts: ImageParts) -> bytes:
    """The tar, for `docker load`, `podman load`, `skopeo copy oci-archive:FILE ...` and whatever else knows OCI."""
    tag = short_tag(parts.manifest.digest)
    entry = {
        **parts.manifest.descriptor(),
        "platform": {"architecture": parts.architecture, "os": "linux"},
        "annotations": {NAME_ANNOTATION: tag, "io.containerd.image.name": f"docker.io/library/{REPOSITORY}:{tag}"},
    }
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}
    docker = [{"Config": _path(parts.config), "RepoTags": [f"{REPOSITORY}:{tag}"], "Layers": [_path(parts.layer)]}]
    files = {
        "oci-layout": LAYOUT,
        "index.json": canonical_json(index),
        "manifest.json": canonical_json(docker),
        **{_path(blob): blob.content for blob in (parts.manifest, parts.config, parts.layer)},
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for directory in ("blobs", "blobs/sha256"):
            member = tarfile.TarInfo(directory)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _path(blob: Blob) -> str:
    return f"blobs/sha256/{blob.digest.removeprefix('sha256:')}"
