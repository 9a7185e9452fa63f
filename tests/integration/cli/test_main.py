"""The commands that need no running system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from onbrand import __version__
from onbrand.database.migrations import migrations
from tests.system import onbrand


def test_generate_draws_four_different_images_with_their_provenance(tmp_path: Path) -> None:
    done = onbrand("generate", "a teapot", "--out", str(tmp_path / "pictures"), "--seed", "7")
    assert done.returncode == 0, done.stderr
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert [path.parent for path in paths] == [tmp_path / "pictures"] * 4
    assert sorted((tmp_path / "pictures").iterdir()) == sorted(paths)
    pixels, seeds = set(), set()
    for path in paths:
        with Image.open(path) as image:
            assert (image.size, image.mode, image.format) == ((1024, 1024), "RGB", "PNG")
            pixels.add(image.tobytes())
            seeds.add(image.info["Onbrand-Seed"])
    assert (len(pixels), len(seeds)) == (4, 4)
    assert "Drawing four pictures from seed 7" in done.stderr  # plain lines where there is no terminal


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["generate", "   ", "--out", "x"], "Describe the illustration in a few words."),
        (["generate", "a" * 501, "--out", "x"], "A prompt may have at most 500 characters. Shorten it and try again."),
        (
            ["generate", "a\x07", "--out", "x"],
            "Remove control characters and unusual accent characters from the prompt.",
        ),
    ],
)
def test_a_prompt_that_is_refused_is_one_plain_sentence(arguments: list[str], sentence: str) -> None:
    refused = onbrand(*arguments)
    assert (refused.returncode, refused.stderr) == (1, f"onbrand: {sentence}\n")


def test_pictures_that_cannot_be_written_are_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = onbrand("generate", "a teapot", "--out", str(tmp_path / "file" / "pictures"))
    assert refused.returncode == 78
    assert refused.stderr == "onbrand: The pictures can't be written there. Give --out a folder that you may write.\n"


@pytest.mark.parametrize("arguments", [["token", "--user", "nobody"], ["generate", "a teapot"], ["fly"], ["up", "x"]])
def test_wrong_usage_ends_with_2(arguments: list[str], tmp_path: Path) -> None:
    assert onbrand(*arguments, DATA_DIR=str(tmp_path)).returncode == 2


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_part_without_a_database_says_what_to_set(command: str, tmp_path: Path) -> None:
    refused = onbrand(command, DATA_DIR=str(tmp_path))
    assert refused.returncode == 78
    assert refused.stderr == (
        "onbrand: Set ONBRAND_DATABASE_URL, or run `onbrand up`, which brings its own PostgreSQL.\n"
    )


def test_migrate_prepares_the_embedded_database_once(tmp_path: Path) -> None:
    first = onbrand("migrate", DATA_DIR=str(tmp_path / "data"))
    second = onbrand("migrate", DATA_DIR=str(tmp_path / "data"))
    applied = ", ".join(step.name for step in migrations())
    assert first.stdout == f"applied: {applied}\n", first.stderr
    assert second.stdout == "nothing to do: the schema is current\n"


def test_migrate_on_a_server_that_does_not_answer_is_one_plain_sentence() -> None:
    refused = onbrand("migrate", DATABASE_URL="postgresql://onbrand:secret@127.0.0.1:1/onbrand")
    assert refused.returncode == 1
    assert refused.stderr.startswith("onbrand: The database can't be reached (")
    assert refused.stderr.count("\n") == 1
    assert "secret" not in refused.stderr


def test_the_version_is_printed() -> None:
    assert onbrand("--version").stdout.strip() == __version__


def test_token_is_refused_where_people_sign_in_with_entra(tmp_path: Path) -> None:
    ids = dict.fromkeys(
        ("ENTRA_TENANT_ID", "ENTRA_API_CLIENT_ID", "ENTRA_SPA_CLIENT_ID", "ENTRA_GROUP_ID"),
        "aaaaaaaa-0000-4000-8000-00000000000a",
    )
    refused = onbrand("token", AUTH="entra", DATA_DIR=str(tmp_path), **ids)
    assert refused.returncode == 78
    assert refused.stderr == ("onbrand: `onbrand token` is for the local sign-in only; here ONBRAND_AUTH=entra.\n")
    assert os.listdir(tmp_path) == []
