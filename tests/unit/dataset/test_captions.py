"""Captions beside pictures or in one table, as studios have them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from onbrand.dataset.captions import about_tokens, read_captions
from onbrand.dataset.folder import look_into

TABLE = 'name,caption\nmug.png,a mug\nbag,"a bag, blue"\n'


def read(folder: Path, files: dict[str, bytes | str]) -> tuple[dict[str, str], list[tuple[str, str | None]]]:
    folder.mkdir(exist_ok=True)
    for name in ("mug.png", "bag.png"):
        (folder / name).touch()
    for name, text in files.items():
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    captions, findings = read_captions(look_into(folder))
    return captions, [(finding.kind, finding.file) for finding in findings]


@pytest.mark.parametrize(
    "table",
    [
        TABLE,
        TABLE.encode("utf-8-sig"),
        TABLE.replace(",", ";").replace("a bag;", "a bag,"),
        TABLE.encode("utf-16"),
        "NAME\tCaption\r\nmug.png\ta mug\r\nbag\ta bag, blue\r\n\r\n",
        'name,caption\nMUG.PNG,a mug\nbag.png,"a bag,\nblue"\n',
    ],
)
def test_a_table_is_read_as_any_spreadsheet_saves_it(table: bytes | str, tmp_path: Path) -> None:
    assert read(tmp_path, {"captions.csv": table}) == ({"mug.png": "a mug", "bag.png": "a bag, blue"}, [])


@pytest.mark.parametrize(
    ("table", "finding"),
    [
        ("mug.png,a mug\nbag.png,a bag\n", ("caption_unreadable", "captions.csv")),
        ('name,caption\nmug.png,"a mug\nbag.png,a bag\n', ("caption_unreadable", "captions.csv")),
        ("name,caption\nmug.png,a mug, blue\nbag.png,a bag", ("caption_unreadable", "captions.csv")),
        ("name,caption\nmug.png,a mug\nbag.png,a bag\nbagg.png,a bag", ("caption_without_picture", "captions.csv")),
        ("name,caption\nmug.png,a mug\nmug.png,a cup\nbag.png,a bag", ("captions_differ", "mug.png")),
        ("name,caption\nmug.png,a mug\nbag.png,", ("caption_empty", "bag.png")),
        (b"name,caption\nmug.png,a m\xfcg\n", ("caption_unreadable", "captions.csv")),
    ],
)
def test_a_table_that_could_be_misread_is_refused(table: bytes | str, finding: tuple[str, str], tmp_path: Path) -> None:
    assert finding in read(tmp_path, {"captions.csv": table})[1]


def test_a_text_file_belongs_to_the_picture_of_its_name(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"mug.txt": "a\n mug \n", "BAG.png.txt": "\ufeffa bag"}
    assert read(tmp_path, files) == ({"mug.png": "a  mug", "bag.png": "a bag"}, [])


def test_text_and_table_may_say_the_same_and_never_differ(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"captions.csv": TABLE, "mug.txt": "a mug\n"}
    assert read(tmp_path, files)[1] == []
    files["mug.txt"] = "a cup"
    assert read(tmp_path, files)[1] == [("captions_differ", "mug.png")]


def test_names_of_the_mac_and_of_linux_are_the_same(tmp_path: Path) -> None:
    name = "Gefäß"
    (tmp_path / f"{unicodedata.normalize('NFD', name)}.png").touch()
    captions, _ = read(tmp_path, {f"{name}.txt": "a vessel", "captions.csv": TABLE})
    assert captions[f"{name}.png"] == "a vessel"


def test_words_of_the_style_in_most_captions_are_said(tmp_path: Path) -> None:
    for index in range(12):
        (tmp_path / f"{index}.png").touch()
        style = "in flat vector style" if index > 2 else ""
        (tmp_path / f"{index}.txt").write_text(f"a thing with number {index * 'i'} {style}, seen from {index * 'x'}")
    _, findings = read_captions(look_into(tmp_path))
    (found,) = [finding for finding in findings if finding.kind == "caption_style"]
    assert all(word in found.cause for word in ("“flat”", "“vector”", "“style”"))
    assert "with" not in found.cause.split(" have ")[1].split(". ")[0]


def test_a_near_miss_of_a_name_is_hinted_at(tmp_path: Path) -> None:
    read(tmp_path, {"captions.csv": TABLE})
    (tmp_path / "muug.txt").write_text("a mug")
    _, findings = read_captions(look_into(tmp_path))
    assert [finding.remedy for finding in findings] == ["Rename one of them if it is meant for mug.png."]


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [("a yellow teapot with two cups", 6), ("extraordinary, isn't it?", 8), ("黄色いポット", 6), ("", 0)],
)
def test_word_pieces_are_counted_about_right(caption: str, tokens: int) -> None:
    assert about_tokens(caption) == tokens
