"""A job's arithmetic: seeds, percent, keys and file names."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import PurePosixPath
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onbrand.jobs.models import (
    IMAGES_PER_JOB,
    MAX_SEED,
    Phase,
    Progress,
    download_name,
    image_key,
    image_seeds,
    new_seed,
    rendition_key,
)

JOB_ID = UUID("7f3a91c2-0000-4000-8000-000000000001")
CREATED = datetime(2026, 1, 28, 23, 59, tzinfo=UTC)
seeds = st.integers(0, MAX_SEED)


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, (3469980719646669, 8018604117806252, 364648824738901, 8696133065399866)),
        (1, (5126933103096309, 7226161561168607, 568416432208836, 1062116443042876)),
        (42, (1002783120652701, 6679292727990993, 2205789010285143, 1256845828445918)),
        (MAX_SEED, (5049649289284434, 6778670531104395, 8246913555786040, 1047689185671660)),
    ],
)
def test_a_job_seed_gives_the_same_four_seeds_for_ever(seed: int, expected: tuple[int, ...]) -> None:
    assert image_seeds(seed) == expected


@given(seeds)
def test_four_images_have_four_different_seeds_that_json_can_hold(seed: int) -> None:
    drawn = image_seeds(seed)
    assert len(set(drawn)) == IMAGES_PER_JOB
    assert all(0 <= one <= MAX_SEED and int(float(one)) == one for one in drawn)
    assert image_seeds(seed) == drawn


def test_each_job_has_a_seed_of_its_own() -> None:
    drawn = {new_seed() for _ in range(100)}
    assert len(drawn) == 100
    assert all(0 <= seed <= MAX_SEED for seed in drawn)


@given(st.integers(1, 200))
def test_percent_never_falls_on_the_way_and_100_is_left_to_the_published_job(steps: int) -> None:
    way = [
        Progress(Phase.WAITING),
        Progress(Phase.STARTING_GPU),
        Progress(Phase.LOADING_MODEL),
        Progress(Phase.ENCODING),
    ]
    way += [Progress(Phase.DRAWING, step, steps) for step in range(steps + 1)]
    way += [Progress(Phase.SAVING, steps, steps)]
    shown = [progress.percent for progress in way]
    assert shown == sorted(shown)
    assert (shown[0], shown[-1] < 100) == (0, True)
    assert shown[3] > 0  # a job that is being drawn has left zero behind


def test_percent_is_defined_before_the_number_of_steps_is_known() -> None:
    assert Progress(Phase.DRAWING).percent == Progress(Phase.DRAWING, 0, 12).percent


def test_an_images_key_names_its_job_attempt_and_number() -> None:
    assert image_key(JOB_ID, 2, 3) == f"jobs/{JOB_ID}/2/3.png"
    assert rendition_key(JOB_ID, 2, 3) == f"jobs/{JOB_ID}/2/3-512.webp"


@pytest.mark.parametrize(("attempt", "n"), [(1, 0), (1, 5), (1, -1), (0, 1), (-1, 1)])
def test_there_is_no_key_for_any_other_image(attempt: int, n: int) -> None:
    with pytest.raises(ValueError, match="n is 1 to 4"):
        image_key(JOB_ID, attempt, n)
    with pytest.raises(ValueError, match="n is 1 to 4"):
        rendition_key(JOB_ID, attempt, n)


places = st.tuples(st.uuids(), st.integers(1, 1000), st.integers(1, IMAGES_PER_JOB))


@given(places, places)
def test_no_two_images_share_a_key(one: tuple[UUID, int, int], other: tuple[UUID, int, int]) -> None:
    assert (image_key(*one) == image_key(*other)) == (one == other)


@given(places)
def test_every_key_stays_below_jobs(place: tuple[UUID, int, int]) -> None:
    parts = PurePosixPath(image_key(*place)).parts
    assert (parts[0], len(parts)) == ("jobs", 4)
    assert not {"..", ".", ""} & set(parts)


@pytest.mark.parametrize(
    ("prompt", "slug"),
    [
        ("paper plane", "paper-plane"),
        ("A red backpack, on a LIGHT-blue background!", "a-red-backpack-on-a-light-blue"),
        ("Überraschung für Zoë", "uberraschung-fur-zoe"),
        ("ﬁve cups", "five-cups"),
        ("絵文字 🫖", "illustration"),
        ("../../etc/passwd", "etc-passwd"),
        ('x"; filename="evil.exe', "x-filename-evil-exe"),
        ("w" * 500, "illustration"),
        ("", "illustration"),
    ],
)
def test_a_download_is_named_after_the_prompt_in_ascii(prompt: str, slug: str) -> None:
    assert download_name(prompt, CREATED, JOB_ID, 2) == f"onbrand_{slug}_2026-01-28_7f3a_2.png"


@given(st.text(max_size=500), st.datetimes(datetime(2020, 1, 1), datetime(9999, 1, 1)), st.integers(1, IMAGES_PER_JOB))
def test_a_download_name_is_safe_anywhere_whatever_the_prompt(prompt: str, created: datetime, n: int) -> None:
    name = download_name(prompt, created, uuid4(), n)
    assert re.fullmatch(r"onbrand_[a-z0-9]+(-[a-z0-9]+)*_\d{4}-\d\d-\d\d_[0-9a-f]{4}_[1-4]\.png", name)
    assert len(name) <= len("onbrand_") + 40 + len("_2026-01-28_7f3a_2.png")
