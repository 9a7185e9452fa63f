"""The check knows Bicep's language: no false alarm in what our own files don't use yet, and defects are found there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infra.check.files import check_files, read_all

FILES = Path(__file__).with_name("bicep")


def test_there_is_no_false_alarm() -> None:
    assert [str(finding) for finding in check_files(read_all(FILES))] == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("publicAccess: 'None'", "publicAccess: 'Everybody'", "`Everybody` is none of"),
        ("? 'Cool' : null", "? 'Warm' : null", "`Warm` is none of"),
        ("        type: 'Lifecycle'\n", "", "`type` is missing"),
        ("    isWanted: index > 0", "    isWished: index > 0", "has no parameter `isWished`"),
        ("    name: old::blobs.name\n", "", "needs its parameter `name`"),
        ("  parent: account\n", "  parent: old\n  zone: 1\n", "there is no property `zone`"),
        ("  parent: account\n", "", "`parent` is missing: a Microsoft.Storage/storageAccounts"),
        ("    account::blobs\n", "    account::blob\n", "`account::blob` is not declared"),
        ("parts[0].outputs.id", "parts[0].outputs.identity", "has no output `identity`"),
        ("    resource containers 'containers'", "    resource containers 'container'", "nothing here knows the type"),
        ("limits.days", "limit.days", "`limit` is not declared"),
        ("identities[index].properties.principalId", "identities[index].properties.principal", "has no `principal`"),
        ("'parts/part.bicep' = if", "'parts/gone.bicep' = if", "there is no file parts/gone.bicep"),
        ("param size string", "param location string\nparam size string", "`location` is declared twice"),
        ("  tags: {}", "  tags: []", "[] is array, and object belongs here"),
        ("  kind: kinds['blob-kind']", "  kind: 'StorageV2'", "the variable `kinds` is never used"),
    ],
)
def test_a_defect_in_it_is_found(tmp_path: Path, old: str, new: str, found: str) -> None:
    shutil.copytree(FILES, tmp_path / "bicep")
    file = tmp_path / "bicep" / "features.bicep"
    before = file.read_text(encoding="utf-8")
    assert before.count(old) == 1
    file.write_text(before.replace(old, new), encoding="utf-8")
    texts = [finding.text for finding in check_files(read_all(tmp_path / "bicep"))]
    assert any(found in text for text in texts), texts
