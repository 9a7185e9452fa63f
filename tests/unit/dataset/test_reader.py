"""A folder of illustrations is read as training needs it: the same pixels and hashes, whatever the files are like."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onbrand.dataset.reader import read_dataset
from onbrand.errors import DatasetChanged, DatasetRefused
from tests.studio import GROUND, draw, write_studio


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_pictures_are_read_by_name_with_captions_and_hashes(tmp_path: Path) -> None:
    folder = write_studio(tmp_path / "studio", 3)
    before = state(folder)
    found = read_dataset(folder)
    assert [one.name for one in found.illustrations] == ["01-mug.png", "02-bottle.png", "03-bag.png"]
    assert found.illustrations[0].caption == draw(0, 8)[1]
    assert found.ground == GROUND
    for one in found.illustrations:
        assert (one.pixels() == np.asarray(Image.open(one.path))).all()
        assert hashlib.sha256(one.pixels().tobytes()).hexdigest() == one.digest
        assert one.pixels(128).shape == (128, 128, 3)
    assert state(folder) == before


def test_the_digest_follows_names_captions_and_pixels_and_no_place(tmp_path: Path) -> None:
    digest = read_dataset(write_studio(tmp_path / "one", 2)).digest
    moved = write_studio(tmp_path / "two", 2)
    assert read_dataset(moved).digest == digest
    (moved / "01-mug.txt").write_text("a mug", "utf-8")
    changed = read_dataset(moved).digest
    (moved / "01-mug.png").rename(moved / "04-mug.png")
    (moved / "01-mug.txt").rename(moved / "04-mug.txt")
    assert len({digest, changed, read_dataset(moved).digest}) == 3


def test_a_transparent_picture_that_is_not_square_is_shown_whole_on_the_ground_of_the_others(tmp_path: Path) -> None:
    folder = write_studio(tmp_path / "studio", 2)
    sticker = Image.new("RGBA", (2000, 1000), (0, 0, 0, 0))
    sticker.paste((200, 30, 40, 255), (500, 200, 1500, 800))
    sticker.save(folder / "sticker.png")
    (folder / "sticker.txt").write_text("a red card", "utf-8")
    pixels = read_dataset(folder).illustrations[2].pixels()
    assert pixels.shape == (1024, 1024, 3)
    corners = pixels[[0, 0, -1, -1, 300], [0, -1, 0, -1, 20]]
    assert {"#" + bytes(corner).hex() for corner in corners} == {GROUND}
    assert tuple(pixels[512, 512]) == (200, 30, 40)


def test_a_picture_with_a_ground_of_its_own_is_padded_with_it(tmp_path: Path) -> None:
    folder = write_studio(tmp_path / "studio", 2)
    wide = Image.new("RGB", (1600, 1000), (20, 90, 60))
    wide.paste((240, 240, 240), (600, 300, 1000, 700))
    wide.save(folder / "wide.png")
    (folder / "wide.txt").write_text("a grey card on green", "utf-8")
    pixels = read_dataset(folder).illustrations[2].pixels()
    assert (pixels[[0, -1]] == (20, 90, 60)).all()


def test_a_picture_that_changed_since_it_was_read_is_refused(tmp_path: Path) -> None:
    folder = write_studio(tmp_path / "studio", 2)
    one = read_dataset(folder).illustrations[0]
    Image.open(folder / "02-bottle.png").save(folder / "01-mug.png")
    with pytest.raises(DatasetChanged, match=r"01-mug\.png was changed"):
        one.pixels(64)
    (folder / "01-mug.png").write_bytes(b"")
    with pytest.raises(DatasetChanged, match="can no longer be used"):
        one.pixels(64)


def test_a_folder_with_an_error_is_refused_with_what_to_do(tmp_path: Path) -> None:
    folder = write_studio(tmp_path / "studio", 2)
    whole = (folder / "01-mug.png").read_bytes()
    (folder / "01-mug.png").write_bytes(whole[: len(whole) // 2])
    (folder / "02-bottle.txt").unlink()
    with pytest.raises(DatasetRefused) as refused:
        read_dataset(folder)
    assert "02-bottle.png: It has no caption" in refused.value.message
    assert "Also: 01-mug.png" in refused.value.message
    for nothing, why in ((tmp_path / "none", "There is no folder"), (folder / "02-bottle.png", "is a file")):
        with pytest.raises(DatasetRefused, match=why):
            read_dataset(nothing)
    os.mkdir(tmp_path / "empty")
    with pytest.raises(DatasetRefused, match="has no picture"):
        read_dataset(tmp_path / "empty")
