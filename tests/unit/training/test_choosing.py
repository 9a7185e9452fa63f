"""The rule that takes a checkpoint, what counts as a copy, and what is outside a brand, in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from onbrand.dataset.features import FEATURES, NAMES
from onbrand.dataset.palette import palette_distance
from onbrand.training.choose import Candidate, choose, doubt
from onbrand.training.copies import Nearness
from onbrand.training.criteria import CRITERIA, Brand, Seen, fit_brand, inside_shares, look
from onbrand.training.prompts import ABSENT, LONG, THINGS, TOGETHER, sample_prompts
from onbrand.training.split import held_out
from tests.studio import BRAND, DRIFTS, Style, draw

SIDE = 512
GOOD = Candidate(100, 1.0, inside=0.5, flagged=0, diversity=3.0)


def picture(index: int, style: Style = BRAND, seed: int = 1) -> np.ndarray:
    """One of the studio's, small."""
    return np.asarray(draw(index, SIDE, style, seed)[0].convert("RGB"))


@pytest.fixture(scope="module")
def own() -> list[Seen]:
    """Twenty-four pictures of the studio."""
    return [look(picture(index)) for index in range(24)]


@pytest.fixture(scope="module")
def brand(own: list[Seen]) -> Brand:
    """What they have in common."""
    return fit_brand(own)[0]


@pytest.fixture(scope="module")
def new(own: list[Seen]) -> list[Seen]:
    """Sixteen more of the studio's, which the brand's range was not measured on."""
    return [look(picture(index)) for index in range(len(own), 40)]


def test_the_most_criteria_inside_are_taken_and_of_equal_ones_the_earliest() -> None:
    later = replace(GOOD, step=200)
    better = replace(GOOD, step=300, inside=0.8)
    assert choose([GOOD, later]) == GOOD
    assert choose([GOOD, later, better]) == better


@pytest.mark.parametrize("fault", [{"flagged": 2}, {"diversity": 0.9}])
def test_copies_and_four_equal_pictures_leave_a_checkpoint_out(fault: dict[str, float]) -> None:
    best = replace(GOOD, step=200, inside=1.0, **fault)  # type: ignore[arg-type]
    assert best.is_left_out
    assert choose([best, GOOD]) == GOOD


def test_one_flag_of_ten_may_be_chance() -> None:
    best = replace(GOOD, step=200, inside=1.0, flagged=1)
    assert choose([GOOD, best]) == best


def test_if_all_are_left_out_the_fewest_flags_are_taken() -> None:
    many, few = replace(GOOD, inside=1.0, flagged=6), replace(GOOD, step=200, flagged=3)
    assert choose([many, few]) == few
    assert choose([many, few]).is_left_out
    assert doubt(few, [many, few]) == (
        "The rule leaves out every checkpoint, and of them this one has the fewest flags: 3 of its samples are nearly"
        " training pictures. Look at the samples with care."
    )
    assert doubt(many, [many, few]).startswith("The rule leaves out every checkpoint: 6 of its samples are nearly")


def test_what_the_rule_has_against_a_checkpoint_that_a_person_took_is_said() -> None:
    alike = replace(GOOD, step=200, diversity=0.5)
    assert doubt(GOOD, [GOOD, alike]) == ""
    assert doubt(alike, [GOOD, alike]).startswith(
        "The rule leaves out this checkpoint: its four pictures of one prompt"
    )


def test_the_brand_s_own_new_pictures_are_mostly_inside(brand: Brand, new: list[Seen]) -> None:
    shares = inside_shares([brand.outside(one) for one in new])
    assert shares.keys() == set(CRITERIA)
    assert sum(shares.values()) / len(shares) > 0.85


@pytest.mark.parametrize(
    ("drift", "criterion"),
    [
        ("hue shift", "colours"),
        ("slightly off palette", "colours"),
        ("beige ground", "ground"),
        ("gradient ground", "ground"),
        ("shaded", "flatness"),
        ("thick stroke", "line"),
        ("no stroke", "line"),
        ("noise", "flatness"),
        ("blur", "line"),
        ("off centre", "composition"),
        ("too big", "composition"),
    ],
)
def test_a_drift_is_outside_by_its_own_criterion(drift: str, criterion: str, brand: Brand, new: list[Seen]) -> None:
    drifted = [look(picture(index, DRIFTS[drift])) for index in range(24, 32)]
    assert inside_shares([brand.outside(one) for one in drifted])[criterion] <= 0.25
    own, away = ([farthest(one, criterion, brand) for one in seen] for seen in (new, drifted))
    pairs = [(one, other) for one in own for other in away]
    assert sum(one < other for one, other in pairs) / len(pairs) >= 0.94  # the area under the curve


def farthest(seen: Seen, criterion: str, brand: Brand) -> float:
    """How far a picture is from the middle of the brand's own range, in the feature of a criterion that is worst."""
    away = palette_distance(seen.colours, brand.palette, seen.ground)
    features = replace(seen.features, palette_distance=away)
    steps = {name: brand.ranges[name].steps(getattr(features, name)) for name in FEATURES}
    steps["palette_distance"] = max(0.0, steps["palette_distance"])  # nearer than usual is no drift
    return max(abs(one) for name, one in steps.items() if NAMES[name].criterion == criterion)


def test_what_is_outside_is_said_in_words_with_the_brand_s_own_range(brand: Brand) -> None:
    words = [one.words for one in brand.outside(look(picture(30, DRIFTS["thick stroke"])))]
    assert any(one.startswith("thicker lines (") and "; yours " in one for one in words)


def test_a_training_picture_among_the_samples_is_flagged_mirrored_too(own: list[Seen]) -> None:
    near = Nearness.of([one.print for one in own])
    training = {f"{index}.png": one.print for index, one in enumerate(own)}
    for index in range(8):
        planted = picture(index)
        moved = np.roll(planted, (5, -9), axis=(0, 1))
        small = np.asarray(Image.fromarray(planted).resize((300, 300)).resize((SIDE, SIDE)))
        for copy in (planted, planted[:, ::-1], moved, small):
            found = near.nearest(look(np.ascontiguousarray(copy)).print, training)
            assert (found.name, found.is_flagged) == (f"{index}.png", True)


def test_new_pictures_are_rarely_flagged(own: list[Seen], new: list[Seen]) -> None:
    near = Nearness.of([one.print for one in own])
    training = {f"{index}.png": one.print for index, one in enumerate(own)}
    flagged = sum(near.nearest(one.print, training).is_flagged for one in new)
    assert flagged <= 2


def test_the_same_picture_four_times_is_no_diversity(own: list[Seen]) -> None:
    near = Nearness.of([one.print for one in own])
    assert near.diversity([own[0].print] * 4) < 1
    assert near.diversity([one.print for one in own[:4]]) > 1


def test_one_in_eight_is_held_out_from_every_part_of_the_set() -> None:
    rng = np.random.default_rng(1)
    light = {f"light-{n}": rng.integers(200, 256, (64, 64, 3)).astype(np.uint8) for n in range(20)}
    dark = {f"dark-{n}": rng.integers(0, 60, (64, 64, 3)).astype(np.uint8) for n in range(20)}
    out = held_out({**light, **dark}, 1)
    assert len(out) == 5
    assert min(len(out & light.keys()), len(out & dark.keys())) >= 2
    assert held_out({**dark, **light}, 1) == out
    assert held_out({**light, **dark}, 2) != out


def test_a_picture_with_a_twin_is_trained_on_and_as_many_others_are_held_out() -> None:
    pictures = {f"{n:02d}.png": np.full((64, 64, 3), 6 * n, np.uint8) for n in range(40)}
    first = held_out(pictures, 1)
    assert held_out(pictures, 1, ()) == first
    others = held_out(pictures, 1, first)
    assert len(others) == len(first) == 5
    assert not others & first
    assert held_out(pictures, 1, list(pictures)) == first  # somebody has to be held out


@pytest.mark.parametrize(("count", "expected"), [(4, 1), (30, 4), (40, 5), (50, 6)])
def test_the_held_out_share_is_from_10_to_15_percent(count: int, expected: int) -> None:
    rng = np.random.default_rng(1)
    pictures = {f"{n}": rng.integers(0, 256, (8, 8, 3)).astype(np.uint8) for n in range(count)}
    assert len(held_out(pictures, 1)) == expected


def test_the_ten_prompts_have_two_things_that_no_caption_names() -> None:
    captions = [f"{thing} on a table" for thing in THINGS if thing not in ("a mug", "a guitar", "an umbrella")]
    prompts = sample_prompts(captions, 1)
    assert prompts == sample_prompts(captions, 1)
    assert len({one.prompt for one in prompts}) == len(prompts) == 10
    absent = [one.prompt for one in prompts if one.is_absent]
    assert len(absent) == ABSENT
    assert set(absent) < {"a mug", "a guitar", "an umbrella"}
    assert {TOGETHER, LONG} < {one.prompt for one in prompts}
    assert 300 < len(LONG) <= 500


def test_there_are_ten_prompts_even_if_every_thing_is_in_a_caption() -> None:
    assert len(sample_prompts(THINGS, 3)) == 10
