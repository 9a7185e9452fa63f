"""The pages of a run: texts of a studio are never markup, and a curve is drawn within its frame."""

from __future__ import annotations

import re

import numpy as np

from onbrand.training.curve import Series, curve, smoothed
from onbrand.training.pages import coloured, page, picture, table

HOSTILE = '<script>alert("1")</script>'


def test_a_caption_is_never_markup() -> None:
    shown = page(HOSTILE, [table((HOSTILE,), [(HOSTILE, coloured(HOSTILE, is_good=True))])])
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 5
    alt = picture(np.zeros((8, 8, 3), np.uint8), 'a "mug"><b>', 4)
    assert 'alt="a &quot;mug&quot;&gt;&lt;b&gt;"' in alt


def test_a_curve_stays_within_its_frame_with_round_numbers_at_its_axes() -> None:
    drawn = curve(
        "Loss", [Series("one", [(0.0, 0.2), (320.0, 0.5)]), Series("two", [(80.0, 0.4)], has_dots=True)], 80.0
    )
    for a, b in re.findall(r"([\d.]+),([\d.]+)", " ".join(re.findall(r'points="([^"]*)"', drawn))):
        assert 0 < float(a) < 720
        assert 0 < float(b) < 260
    assert re.findall(r'text-anchor="middle">([^<]+)<', drawn) == ["0", "100", "200", "300"]
    assert drawn.count("<circle") == 1


def test_a_curve_of_one_value_or_of_none_is_no_error() -> None:
    assert "<svg" in curve("Loss", [Series("one", [(80.0, 0.4)], has_dots=True)])
    assert curve("Loss", [Series("one", [])]) == ""


def test_a_long_curve_has_few_points_and_each_is_a_mean() -> None:
    points = smoothed([float(step) for step in range(1000)], 40)
    assert len(points) == 200
    assert points[-1] == (1000.0, sum(range(960, 1000)) / 40)
