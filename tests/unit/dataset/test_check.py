"""Pictures beside each other: what is said when they are not of one kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from onbrand.dataset.check import Checked, check
from onbrand.dataset.findings import Finding
from tests.studio import BRAND, DRIFTS, Style, write_studio

SIDE = 768
THICK = DRIFTS["thick stroke"]


def about(checked: Checked, kind: str) -> list[Finding]:
    return [finding for finding in checked.findings if finding.kind == kind]


@pytest.fixture
def studio(tmp_path: Path) -> Path:
    return write_studio(tmp_path / "studio", 12, SIDE)


def test_two_styles_are_told_by_name_once_and_not_for_each_picture(studio: Path) -> None:
    write_studio(studio, 5, SIDE, THICK, first=12)
    found = check(studio)
    (styles,) = about(found, "two_sub_styles")
    assert "width of the lines" in styles.cause
    assert [name[:2] for name in styles.others] == ["13", "14", "15", "16", "17"]
    assert about(found, "outlier") == []


def test_several_grounds_are_one_finding(studio: Path) -> None:
    for number, ground in enumerate(("#2fa3a3", "#fbd65a", "#a6d8f7", "#f9b4cf")):
        write_studio(studio, 1, SIDE, replace(BRAND, ground=ground), first=12 + number)
    found = check(studio)
    (grounds,) = about(found, "several_grounds")
    assert "12 of 16 pictures are on #fbf1de" in grounds.cause
    assert "#2fa3a3" in grounds.cause
    assert found.ground == BRAND.ground
    assert about(found, "outlier") == about(found, "two_sub_styles") == []


@pytest.mark.parametrize(
    ("style", "words"),
    [
        (THICK, "thicker lines (22 px; the others 12 px)"),
        (DRIFTS["beige ground"], "a darker ground (#ecd9b8; most have #fbf1de)"),
        (replace(BRAND, palette=("#7a4fe4", "#6d2fd8", "#7038f0")), "colours that the others don't have (#"),
    ],
)
def test_one_picture_apart_is_told_with_its_numbers(style: Style, words: str, studio: Path) -> None:
    write_studio(studio, 1, SIDE, style, first=12)
    (apart,) = about(check(studio), "outlier")
    assert apart.file == "13-lamp.png"
    assert words in apart.cause


def test_one_style_is_left_alone(studio: Path) -> None:
    kinds = {finding.kind for finding in check(studio).findings}
    assert kinds == {"few_pictures", "enlarged", "caption_style"}  # "small" is in eight of twelve captions
