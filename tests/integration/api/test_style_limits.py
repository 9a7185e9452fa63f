"""What the live style's model knows, as the page gets it: from the file beside the weights, or nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from onbrand.api import style
from onbrand.config import REPOSITORY, Settings
from onbrand.packs.base import load_base
from onbrand.packs.known import KNOWN, known_things
from onbrand.storage.files import LocalFolder
from tests.integration.api.service import Person

MINI = REPOSITORY / "models" / "mini"


async def test_the_page_is_told_what_the_mini_knows(member: Person) -> None:
    known = (await member.http.get("/style/limits")).json()["known"]
    names = [thing["name"] for thing in known["things"]]
    assert "backpack" in names
    assert known["most_things"] == 2
    assert {index for places in known["near"].values() for index in places} <= set(range(len(names)))


def test_the_bundled_list_is_one_that_this_version_reads_and_its_nearest_things_make_sense() -> None:
    known = known_things(load_base(LocalFolder(MINI)))
    assert known is not None
    names = [thing.name for thing in known.things]
    assert len(names) == len(set(names)) == 176
    for word, thing in {"kettle": "teapot", "tiger": "cat", "jeep": "car", "spoon": "teapot"}.items():
        assert names[known.near[word][0]] == thing


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"schema":2}', None])
def test_a_base_without_a_usable_list_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    shutil.copy(MINI / "base.json", tmp_path)
    if content is not None:
        (tmp_path / KNOWN).write_text(content)
    monkeypatch.setenv("ONBRAND_MODEL_PATH", str(tmp_path))
    assert style._known(Settings()) is None


def test_a_list_that_names_a_thing_which_is_not_there_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(MINI / "base.json", tmp_path)
    document = {"schema": 1, "most_things": None, "things": [{"name": "cap", "words": []}], "near": {"hat": [0]}}
    monkeypatch.setenv("ONBRAND_MODEL_PATH", str(tmp_path))
    (tmp_path / KNOWN).write_text(json.dumps(document))
    assert style._known(Settings()) is not None
    (tmp_path / KNOWN).write_text(json.dumps(document | {"near": {"hat": [1]}}))
    assert style._known(Settings()) is None
