"""What is said of an image and of a build: the same for the same image, complete, and nothing that is not known."""

from __future__ import annotations

import json
from pathlib import Path

from reflexdb.build.base import BuildRequest
from reflexdb.build.local import LocalBuilder
from reflexdb.build.statements import Made, provenance, sbom

from .images import image
from .schemas import blog

DIGEST = "sha256:" + "1" * 64


def made(document: dict[str, object]) -> Made:
    return Made(
        build_id="b",
        digest=DIGEST,
        document=document,
        connection_id="c",
        source_version="SQLite 3",
        trigger="api",
        reused=False,
        started_at="2026-01-01T00:00:00Z",
        finished_at="2026-01-01T00:00:09Z",
        key_id="k",
    )


def test_an_sbom_names_what_is_linked_into_the_binary_and_is_the_same_wherever_it_is_built(
    tmp_path: Path, engine_dir: Path
) -> None:
    request = BuildRequest(blog(), "version: 1")
    told = []
    for place in ("a", "b"):
        builder = LocalBuilder(tmp_path / place, engine_dir)
        digest = builder.build(request, print).image.digest
        told.append(json.dumps(sbom(digest, builder.store.document(digest))))
    components = {each["name"]: each for each in json.loads(told[0])["components"]}

    assert told[0] == told[1]
    assert components.keys() >= {"reflex-server", "reflexdb-engine", "schema.gen.cc", "libgcc"}
    for name in components.keys() & {"glibc", "libstdc++", "libgcc"}:
        assert components[name]["version"][0].isdigit()
        assert components[name]["licenses"][0]["expression"]
    if "glibc" in components:
        [archive] = [each for each in components["glibc"]["properties"] if each["name"].endswith(":libc.a")]
        assert archive["value"].startswith("sha256:")


def test_provenance_has_what_slsa_level_one_requires(tmp_path: Path, engine_dir: Path) -> None:
    builder = LocalBuilder(tmp_path, engine_dir)
    built = builder.build(BuildRequest(blog(), "version: 1"), print)
    document = builder.store.document(built.image.digest)
    statement = provenance(made(document))
    definition = statement["predicate"]["buildDefinition"]
    dependencies = {each["name"]: each for each in definition["resolvedDependencies"]}

    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [{"name": "reflex-server", "digest": {"sha256": "1" * 64}}]
    assert ":" in definition["buildType"]
    assert statement["predicate"]["runDetails"]["builder"]["id"] == "urn:reflexdb:control-plane:k"
    assert dependencies["plan"]["digest"]["sha256"] == built.plan.fingerprint().hex()
    assert dependencies["reflexdb.yaml"]["digest"]["sha256"] == document["config_sha256"]
    assert dependencies["compiler"]["annotations"]["version"]


def test_an_image_of_an_earlier_version_names_what_it_knows(tmp_path: Path) -> None:
    builder = LocalBuilder(tmp_path)
    digest = builder.store.put(image())
    document = builder.store.document(digest)

    assert [each["name"] for each in sbom(digest, document)["components"]] == ["reflex-server", "reflexdb-engine"]
    names = [
        each["name"] for each in provenance(made(document))["predicate"]["buildDefinition"]["resolvedDependencies"]
    ]
    assert names == ["plan", "engine", "compiler"]
