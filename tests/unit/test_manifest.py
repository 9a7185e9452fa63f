"""The manifest of a brand pack: parsed strictly, identified by its hash. Files on disk are a matter of integration."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from onbrand.errors import ManifestInvalid
from onbrand.packs.manifest import Manifest, pack_id, parse_manifest


def manifest() -> dict[str, Any]:
    return {
        "schema": 2,
        "name": "Sample brand",
        "version": "1",
        "base_model": "mini",
        "base": "b" * 64,
        "prompt_suffix": ", onbrand style",
        "prompt_token_limit": 128,
        "steps": 12,
        "guidance_scale": 3.5,
        "shift": 1,
        "probe": {"base": [0.5] * 8, "fused": [1] * 8},
        "lora": {"file": "lora.safetensors", "rank": 4, "alpha": 4, "scale": 1, "adapted_modules": ["blocks.0.to_q"]},
        "files": [{"path": "lora.safetensors", "size": 5, "sha256": "0" * 64}],
    }


def parse(document: dict[str, Any]) -> Manifest:
    return parse_manifest(json.dumps(document).encode())


def test_a_manifest_is_read() -> None:
    parsed = parse(manifest())
    assert parsed.lora.adapted_modules == ("blocks.0.to_q",)
    assert parsed.files[0].size == 5


def test_the_id_ignores_layout_and_order_of_keys() -> None:
    reordered = json.dumps(dict(reversed(manifest().items())), indent=8).encode()
    assert pack_id(parse_manifest(reordered)) == pack_id(parse(manifest()))


def test_the_id_changes_with_a_checksum() -> None:
    other = manifest()
    other["files"][0]["sha256"] = "1" * 64
    assert pack_id(parse(other)) != pack_id(parse(manifest()))


def test_the_id_changes_with_the_examples() -> None:
    assert pack_id(parse(manifest() | {"examples": ["A teapot"]})) != pack_id(parse(manifest()))


def test_the_id_changes_with_a_guidance_interval_and_not_without_one() -> None:
    plain = pack_id(parse(manifest()))
    assert pack_id(parse(manifest() | {"guidance_interval": None})) == plain
    assert pack_id(parse(manifest() | {"guidance_interval": [0.2, 0.9]})) != plain


def test_the_id_is_the_hash_of_the_canonical_manifest() -> None:
    """Written out in full: another canonical form would orphan every job's record of its pack."""
    canonical = (
        '{"base":"'
        + "b" * 64
        + '","base_model":"mini","examples":[],"files":[{"path":"lora.safetensors","sha256":"'
        + "0" * 64
        + '","size":5}],'
        '"guidance_scale":3.5,"lora":{"adapted_modules":["blocks.0.to_q"],"alpha":4.0,"file":"lora.safetensors",'
        '"rank":4,"scale":1.0},"name":"Студия","probe":{"base":['
        + ",".join(["0.5"] * 8)
        + '],"fused":['
        + ",".join(["1.0"] * 8)
        + ']},"prompt_suffix":", onbrand style","prompt_token_limit":128,"schema":2,"shift":1.0,'
        '"steps":12,"version":"1"}'
    )
    assert pack_id(parse(manifest() | {"name": "Студия"})) == hashlib.sha256(canonical.encode()).hexdigest()


@pytest.mark.parametrize("field", sorted(manifest()))
def test_a_missing_field_is_refused_by_name(field: str) -> None:
    document = manifest()
    del document[field]
    with pytest.raises(ManifestInvalid, match=field):
        parse(document)


@pytest.mark.parametrize("part", ["", "lora", "file"])
def test_an_unknown_field_is_refused(part: str) -> None:
    document = manifest()
    {"": document, "lora": document["lora"], "file": document["files"][0]}[part]["surprise"] = 1
    with pytest.raises(ManifestInvalid, match="surprise"):
        parse(document)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": "12"},
        {"steps": 0},
        {"steps": True},
        {"guidance_scale": float("nan")},
        {"guidance_scale": -1},
        {"name": ""},
        {"name": "two\nlines"},
        {"schema": 1},
        {"base": "b" * 63},
        {"shift": 0},
        {"probe": {"base": [0.5] * 8, "fused": [1.0] * 9}},
        {"probe": {"base": [0.5] * 8, "fused": [float("inf")] * 8}},
        {"files": []},
        {"examples": ["two\nlines"]},
        {"guidance_interval": [0.2, 1.1]},
        {"guidance_interval": [0.2]},
        {"examples": ["A teapot"] * 7},
    ],
    ids=str,
)
def test_a_wrong_value_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ManifestInvalid, match=next(iter(change))):
        parse(manifest() | change)


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "a/../../b", "..", ".", "", "C:\\weights", "C:/weights", "a\\b", "a\0b"]
)
def test_a_path_that_leaves_the_pack_is_refused(path: str) -> None:
    document = manifest()
    document["files"].append({"path": path, "size": 5, "sha256": "0" * 64})
    with pytest.raises(ManifestInvalid, match="stays inside"):
        parse(document)


def test_a_file_named_twice_is_refused() -> None:
    document = manifest()
    document["files"] *= 2
    with pytest.raises(ManifestInvalid, match="twice"):
        parse(document)


def test_a_module_named_twice_is_refused() -> None:
    document = manifest()
    document["lora"]["adapted_modules"] *= 2
    with pytest.raises(ManifestInvalid, match="twice"):
        parse(document)


def test_a_lora_without_a_checksum_is_refused() -> None:
    document = manifest()
    document["lora"]["file"] = "another.safetensors"
    with pytest.raises(ManifestInvalid, match="LoRA"):
        parse(document)


def test_a_document_that_is_not_json_is_refused_with_what_to_do() -> None:
    with pytest.raises(ManifestInvalid, match="git checkout -- models/mini"):
        parse_manifest(b"\xff\xfe not json")
