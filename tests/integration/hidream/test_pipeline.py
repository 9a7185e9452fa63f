"""The image model with its real weights: what it draws, how it stops, and what it reports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from onbrand.config import REPOSITORY
from onbrand.errors import BadImage, Cancelled, GpuMemory
from onbrand.hidream.decoding.decode import decode, to_pixels
from onbrand.hidream.load import load_pipeline
from onbrand.hidream.pipeline import Drawing, Pipeline
from onbrand.jobs.models import Phase, Progress
from onbrand.packs.base import load_base
from onbrand.packs.manifest import SAMPLE, load_pack
from onbrand.storage.files import LocalFolder

MINI = REPOSITORY / "models" / "mini"
PROMPT = "a red backpack on a light blue background"
SEEDS = (1, 2, 3, 2**53 - 1)


def draw(illustrator: Pipeline, prompt: str = PROMPT, seeds: tuple[int, ...] = SEEDS) -> Drawing:
    return illustrator.draw(prompt, seeds, lambda _: None, lambda: False)


def load() -> Pipeline:
    return load_pipeline(load_base(LocalFolder(MINI)), load_pack(MINI / SAMPLE))


@pytest.fixture(scope="module")
def illustrator() -> Pipeline:
    return load()


@pytest.fixture(scope="module")
def drawing(illustrator: Pipeline) -> Drawing:
    return draw(illustrator)


def test_four_seeds_give_four_different_pictures(drawing: Drawing) -> None:
    assert drawing.pixels.shape == (4, 1024, 1024, 3)
    assert drawing.pixels.dtype == np.uint8
    pictures = drawing.pixels.astype(int)
    for first in range(4):
        for second in range(first + 1, 4):
            assert np.abs(pictures[first] - pictures[second]).mean() > 3


def test_the_pictures_show_the_object_on_the_brands_cream_ground(drawing: Drawing) -> None:
    """A coarse guard against a wrong sign, schedule or text: corners are light, the middle is saturated."""
    for picture in drawing.pixels.astype(int):
        corners = np.concatenate([picture[:64, :64], picture[:64, -64:]]).reshape(-1, 3)
        assert np.abs(corners.mean(axis=0) - (255, 234, 214)).max() < 15
        middle = picture[448:640, 448:576].reshape(-1, 3)
        assert (middle.max(axis=1) - middle.min(axis=1)).mean() > 80


def test_the_same_seeds_give_the_same_pixels(illustrator: Pipeline, drawing: Drawing) -> None:
    assert (draw(illustrator).pixels == drawing.pixels).all()


def test_a_seed_drawn_alone_gives_its_picture_of_the_batch(illustrator: Pipeline, drawing: Drawing) -> None:
    """Up to rounding: another batch size is another order of summation. Measured: 1 of 256 levels in 0.003 %."""
    alone = draw(illustrator, seeds=SEEDS[1:2]).pixels[0].astype(int)
    difference = np.abs(alone - drawing.pixels[1])
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.001


def test_another_prompt_gives_another_picture(illustrator: Pipeline, drawing: Drawing) -> None:
    teapot = draw(illustrator, "a teapot", SEEDS[:1]).pixels[0].astype(int)
    assert np.abs(teapot - drawing.pixels[0]).mean() > 10


def test_progress_rises_to_the_last_step(illustrator: Pipeline) -> None:
    seen: list[Progress] = []
    illustrator.draw(PROMPT, SEEDS[:1], seen.append, lambda: False)
    assert seen[0] == Progress(Phase.ENCODING)
    assert [replace(progress, previews=()) for progress in seen[1:]] == [
        Progress(Phase.DRAWING, step, 12) for step in range(13)
    ]
    percents = [progress.percent for progress in seen]
    assert percents == sorted(percents)


@pytest.mark.parametrize("step", [0, 5, 12])
def test_it_stops_at_the_step_at_which_it_is_asked_to(illustrator: Pipeline, step: int) -> None:
    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        illustrator.draw(PROMPT, SEEDS[:1], seen.append, lambda: seen[-1].step == step)
    assert replace(seen[-1], previews=()) == Progress(Phase.DRAWING, step, 12)


def test_after_a_stop_it_draws_as_before(illustrator: Pipeline, drawing: Drawing) -> None:
    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        illustrator.draw("a teapot", SEEDS, seen.append, lambda: seen[-1].step == 3)
    assert (draw(illustrator).pixels == drawing.pixels).all()


class ScarceMemory:
    """A device that has room for so many pictures at once; used as a hook of the transformer."""

    def __init__(self, pictures: int) -> None:
        self.room = 2 * pictures  # with guidance each picture counts twice
        self.batches: list[int] = []

    def __call__(self, _: object, __: object, fields: dict[str, torch.Tensor]) -> None:
        self.batches.append(len(fields["hidden_states"]))
        if self.batches[-1] > self.room:
            raise torch.OutOfMemoryError

    @contextmanager
    def around(self, illustrator: Pipeline) -> Iterator[None]:
        handle = illustrator.transformer.register_forward_pre_hook(self, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()
            illustrator.at_once = None


def test_with_too_little_memory_the_pictures_are_drawn_one_by_one(illustrator: Pipeline, drawing: Drawing) -> None:
    seen: list[Progress] = []
    memory = ScarceMemory(pictures=1)
    with memory.around(illustrator):
        alone = illustrator.draw(PROMPT, SEEDS, seen.append, lambda: False)
        assert memory.batches == [8] + [2] * 4 * 12
        draw(illustrator, seeds=SEEDS[:2])  # it remembers, instead of running into it each time
        assert memory.batches[49:] == [2] * 2 * 12
    assert np.abs(alone.pixels.astype(int) - drawing.pixels).max() <= 2
    steps = [progress.step for progress in seen[2:]]
    assert steps == sorted(steps)
    assert steps[-1] == 12


def test_without_memory_for_a_single_picture_the_drawing_fails_and_the_next_one_works(
    illustrator: Pipeline, drawing: Drawing
) -> None:
    memory = ScarceMemory(pictures=0)
    with memory.around(illustrator), pytest.raises(GpuMemory):
        draw(illustrator)
    assert memory.batches == [8, 2]
    assert (draw(illustrator).pixels == drawing.pixels).all()


class DeadGpu:
    """A transformer on a GPU that refuses everything, as after an illegal access."""

    @property
    def device(self) -> torch.device:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_only_a_device_that_answers_can_draw_on(illustrator: Pipeline) -> None:
    assert illustrator.can_draw()
    assert not replace(illustrator, transformer=DeadGpu()).can_draw()


def test_a_prompt_that_does_not_fit_the_encoder_is_reported(illustrator: Pipeline, drawing: Drawing) -> None:
    assert drawing.ignored == 0
    ignored = draw(illustrator, "漢字" * 250, SEEDS[:1]).ignored
    assert 0 < ignored < 500


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_latents_that_are_not_numbers_are_refused(illustrator: Pipeline, value: float) -> None:
    """A NaN would be cast to black without an error."""
    latents = torch.zeros(2, 32, 16, 16)
    latents[1, 0, 8, 8] = value
    with torch.inference_mode(), pytest.raises(BadImage):
        decode(illustrator.decoder, latents)


@pytest.mark.parametrize("colour", [(0.0, 0.0, 0.0), (1.0, -1.0, -1.0)], ids=["grey", "red"])
def test_a_picture_of_one_colour_is_refused(colour: tuple[float, float, float]) -> None:
    images = torch.rand(2, 3, 8, 8)
    images[1] = torch.tensor(colour)[:, None, None]
    with pytest.raises(BadImage):
        to_pixels(images)


def test_loading_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """No third-party progress bar in the worker's log."""
    load()
    assert capfd.readouterr() == ("", "")


def test_the_working_directory_does_not_matter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load().model == "mini"


def test_waiting_threads_sleep() -> None:
    """Asked of the OpenMP runtime itself: a setting made after torch has loaded it would be too late."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    shown = subprocess.run(
        [sys.executable, "-c", "import onbrand.hidream.decoding.vae"],
        env=environment | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"(GOMP_SPINCOUNT|KMP_BLOCKTIME)\s*=\s*'0", shown.stderr)  # GNU's and LLVM's name for it
