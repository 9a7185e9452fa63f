"""Each way of drifting off a brand shows in a feature that has a name, measured against the brand's own work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onbrand.dataset.features import FEATURES, NAMES, Features, can_tell, measure, view
from onbrand.dataset.palette import Colours, brand_palette, colours_of, palette_distance
from onbrand.dataset.ranges import own_ranges, strange, two_sub_styles
from tests.studio import BRAND, DRIFTS, PALETTE, Style, draw

SIDE = 256
OWN, HELD_OUT, DRIFTED = 32, 24, 16  # pictures
NAMED = {
    "hue shift": "palette_distance",
    "slightly off palette": "palette_distance",
    "beige ground": "ground_chroma",
    "gradient ground": "ground_spread",
    "shaded": "soft_share",
    "thick stroke": "stroke_width",
    "no stroke": "stroke_width",
    "noise": "noise",
    "blur": "sharpness",
    "off centre": "centre_x",
    "too big": "fill",
}
Measured = tuple[Features, Colours, np.ndarray]


def look(index: int, style: Style = BRAND, seed: int = 1) -> Measured:
    pixels = np.asarray(draw(index, SIDE, style, seed)[0])
    seen = view(pixels)
    return measure(pixels, seen), colours_of(seen), seen.ground


def against(pictures: list[Measured], palette: Colours) -> list[Features]:
    return [replace(one, palette_distance=palette_distance(colours, palette, at)) for one, colours, at in pictures]


@pytest.fixture(scope="module")
def own() -> list[Measured]:
    return [look(index) for index in range(OWN)]


@pytest.fixture(scope="module")
def palette(own: list[Measured]) -> Colours:
    return brand_palette([colours for _, colours, _ in own])


@pytest.fixture(scope="module")
def held_out(palette: Colours) -> list[Features]:
    return against([look(index, seed=7) for index in range(HELD_OUT)], palette)


@pytest.fixture(scope="module")
def drifted(palette: Colours) -> dict[str, list[Features]]:
    return {
        name: against([look(index, style, 9) for index in range(DRIFTED)], palette) for name, style in DRIFTS.items()
    }


def area_under_curve(usual: list[float], other: list[float]) -> float:
    """How often a value of `other` is further out than one of `usual`; 0.5 is chance."""
    above = np.asarray(other)[:, None] - np.asarray(usual)[None]
    share = float((above > 0).mean() + 0.5 * (above == 0).mean())
    return max(share, 1 - share)


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_drift_shows_in_the_feature_that_names_it(
    drift: str, own: list[Measured], palette: Colours, held_out: list[Features], drifted: dict[str, list[Features]]
) -> None:
    """AUC 0.94 of held-out work against the drift, in steps from the brand's own range."""
    feature = NAMED[drift]
    usual = own_ranges(against(own, palette))[feature]
    steps = [[usual.steps(getattr(one, feature)) for one in group] for group in (held_out, drifted[drift])]
    assert area_under_curve(*steps) >= 0.94
    far = sorted(abs(step) for step in steps[1])[len(steps[1]) // 4]
    assert far > usual.limit  # three of four are outside the range


def test_held_out_work_of_the_brand_is_inside_its_own_range(
    own: list[Measured], palette: Colours, held_out: list[Features]
) -> None:
    ranges = own_ranges(against(own, palette))
    inside = {name: np.mean([ranges[name].contains(getattr(one, name)) for one in held_out]) for name in FEATURES}
    assert min(inside.values()) >= 0.85  # lines are three pixels wide here, so one pixel is a third of their width
    assert np.mean(list(inside.values())) >= 0.95
    assert set(NAMES) == set(FEATURES)


@pytest.mark.parametrize("drift", [name for name in DRIFTS if name not in ("too big", "slightly off palette")])
def test_one_drifted_picture_among_the_others_stands_apart_by_name(drift: str, own: list[Measured]) -> None:
    pictures = [*own, look(41, DRIFTS[drift], 9)]
    whole = []
    for index, (features, colours, ground) in enumerate(pictures):
        others = brand_palette([other for at, (_, other, _) in enumerate(pictures) if at != index])
        whole.append(replace(features, palette_distance=palette_distance(colours, others, ground)))
    found = strange(whole)
    named = {one.feature for one in found[-1]}
    assert named & {NAMED[drift], "ground_lightness" if drift == "beige ground" else NAMED[drift]}
    assert [one for one in found[:-1] if one] == []


@pytest.mark.parametrize(
    "drift", ["beige ground", "gradient ground", "shaded", "thick stroke", "no stroke", "noise", "blur"]
)
def test_two_styles_in_one_folder_are_told_apart(
    drift: str, own: list[Measured], drifted: dict[str, list[Features]]
) -> None:
    of_brand = [features for features, _, _ in own]
    assert two_sub_styles(of_brand) is None
    found = two_sub_styles([*of_brand, *drifted[drift][:12]])
    assert found is not None
    assert len(set(found.smaller) & set(range(OWN, OWN + 12))) >= 8
    assert not set(found.smaller) & set(range(OWN))


def test_the_palette_is_the_studios_own(palette: Colours) -> None:
    codes = set(palette.codes)
    assert {*PALETTE, BRAND.ground, BRAND.ink} <= codes


def test_lines_of_a_dark_thing_are_not_judged() -> None:
    dark = replace(BRAND, palette=("#22305c", "#1d2a50", "#26345f"))
    assert not can_tell(look(5, dark)[0], "stroke_width")
    assert can_tell(look(5)[0], "stroke_width")


@pytest.mark.parametrize("picture", [np.full((64, 64, 3), 7, np.uint8), np.zeros((256, 256, 3), np.uint8)])
def test_a_picture_of_nothing_has_finite_features(picture: np.ndarray) -> None:
    found = measure(picture)
    assert np.isfinite([getattr(found, name) for name in FEATURES]).all()
    assert (found.fill, found.parts, found.stroke_width) == (0, 0, 0)
