"""What an image is made of and how, in the forms that public tools read: CycloneDX and in-toto's SLSA provenance.

Called by control. Pure: an SBOM is a function of the image alone, so that the same image has the same one; provenance
tells of one build, with its times. Nothing is claimed that is not known: what the manifest of an image from an earlier
version does not say is left out.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:reflexdb:build-type:schema-image:v1"
SUBJECT = "reflex-server"
_LICENSES = {
    "glibc": "LGPL-2.1-or-later",
    "libstdc++": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libgcc": "GPL-3.0-or-later WITH GCC-exception-3.1",
}
"""Of what is linked statically; the archives belong to these."""
_LIBRARY_OF = {
    "libc.a": "glibc",
    "libpthread.a": "glibc",
    "libstdc++.a": "libstdc++",
    "libgcc.a": "libgcc",
    "libgcc_eh.a": "libgcc",
}


def sbom(digest: str, document: Mapping[str, Any]) -> Json:
    """CycloneDX 1.5 of an image, from its digest and its manifest document. Without times: the image has none."""
    version = document["engine"]["version"]
    components = list(_components(document))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": digest,
                "name": SUBJECT,
                "version": version,
                "hashes": [_hash(digest.removeprefix("sha256:"))],
                "properties": [
                    {"name": "reflexdb:plan-fingerprint", "value": document["plan_fingerprint"]},
                    {"name": "reflexdb:compiler", "value": document["compiler"]["version"]},
                    {"name": "reflexdb:machine", "value": document["compiler"]["machine"]},
                ],
            }
        },
        "components": components,
        "dependencies": [
            {"ref": digest, "dependsOn": ["binary"]},
            {"ref": "binary", "dependsOn": [each["bom-ref"] for each in components if each["bom-ref"] != "binary"]},
        ],
    }


def _components(document: Mapping[str, Any]) -> Iterator[Json]:
    version = document["engine"]["version"]
    binary = {"type": "application", "bom-ref": "binary", "name": SUBJECT, "version": version}
    yield {**binary, "hashes": [_hash(document["binary"]["sha256"])]}
    yield {
        "type": "library",
        "bom-ref": "engine",
        "name": "reflexdb-engine",
        "version": version,
        "purl": f"pkg:pypi/reflexdb@{version}",
        "properties": [{"name": "reflexdb:engine-key", "value": document["engine"]["key"]}],
    }
    if "unit" in document:
        yield {
            "type": "file",
            "bom-ref": "unit",
            "name": "schema.gen.cc",
            "hashes": [_hash(document["unit"]["sha256"])],
        }
    for name, known in sorted(document.get("runtime", {}).items()):
        yield {
            "type": "library",
            "bom-ref": name,
            "name": name,
            "version": known,
            "licenses": [{"expression": _LICENSES[name]}],
            "properties": [
                {"name": f"reflexdb:archive:{archive}", "value": f"sha256:{digest}"}
                for archive, digest in sorted(document.get("archives", {}).items())
                if _LIBRARY_OF.get(archive) == name
            ],
        }


def _hash(content: str) -> Json:
    return {"alg": "SHA-256", "content": content}


@dataclass(frozen=True, slots=True)
class Made:
    """One build that succeeded."""

    build_id: str
    digest: str
    document: Mapping[str, Any]
    """The image's manifest document."""
    connection_id: str
    source_version: str | None
    trigger: str
    reused: bool
    """Its image is one that the same inputs had made before."""
    started_at: str
    finished_at: str
    """RFC 3339, UTC."""
    key_id: str
    """Of the key that signs: it is who says this."""


def provenance(made: Made) -> Json:
    """An in-toto statement with SLSA's provenance v1."""
    document = made.document
    configuration = document["config_sha256"]
    return {
        "_type": STATEMENT,
        "subject": [{"name": SUBJECT, "digest": {"sha256": made.digest.removeprefix("sha256:")}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "connection": f"urn:uuid:{made.connection_id}",
                    "schema": document["schema"],
                    "sourceVersion": made.source_version,
                    "configSha256": configuration,
                },
                "internalParameters": {"trigger": made.trigger, "imageReused": made.reused},
                "resolvedDependencies": list(_dependencies(document, configuration)),
            },
            "runDetails": {
                "builder": {
                    "id": f"urn:reflexdb:control-plane:{made.key_id}",
                    "version": {"reflexdb": document["engine"]["version"]},
                },
                "metadata": {
                    "invocationId": f"urn:uuid:{made.build_id}",
                    "startedOn": made.started_at,
                    "finishedOn": made.finished_at,
                },
            },
        },
    }


def _dependencies(document: Mapping[str, Any], configuration: str | None) -> Iterator[Json]:
    yield {"name": "plan", "digest": {"sha256": document["plan_fingerprint"]}}
    if configuration is not None:
        yield {"name": "reflexdb.yaml", "digest": {"sha256": configuration}}
    yield {"name": "engine", "digest": {"sha256": document["engine"]["key"]}}
    yield {"name": "compiler", "annotations": dict(document["compiler"])}
    for archive, digest in sorted(document.get("archives", {}).items()):
        yield {"name": archive, "digest": {"sha256": digest}}
