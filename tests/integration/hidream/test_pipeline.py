"""The mini model with its real weights: its pictures, stopping it, and its progress."""

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
from onbrand.hidream.pipeline import Pipeline, PipelineOutput
from onbrand.jobs.models import Phase, Progress
from onbrand.packs.base import load_base
from onbrand.packs.manifest import SAMPLE, load_pack
from onbrand.storage.files import LocalFolder

MINI = REPOSITORY / "models" / "mini"
PROMPT = "a red backpack on a light blue background"
SEEDS = (1, 2, 3, 2**53 - 1)


def draw(pipeline: Pipeline, prompt: str = PROMPT, seeds: tuple[int, ...] = SEEDS) -> PipelineOutput:
    return pipeline.draw(prompt, seeds, lambda _: None, lambda: False)


def load() -> Pipeline:
    return load_pipeline(load_base(LocalFolder(MINI)), load_pack(MINI / SAMPLE))


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return load()


@pytest.fixture(scope="module")
def output(pipeline: Pipeline) -> PipelineOutput:
    return draw(pipeline)


def test_four_seeds_give_four_different_pictures(output: PipelineOutput) -> None:
    assert output.pixels.shape == (4, 1024, 1024, 3)
    assert output.pixels.dtype == np.uint8
    pictures = output.pixels.astype(int)
    for first in range(4):
        for second in range(first + 1, 4):
            assert np.abs(pictures[first] - pictures[second]).mean() > 3


def test_the_pictures_show_the_object_on_the_ground_that_was_asked_for(output: PipelineOutput) -> None:
    """A rough check for a wrong sign, schedule or text: the corners are light blue and the middle is saturated."""
    for picture in output.pixels.astype(int):
        corners = np.concatenate([picture[:64, :64], picture[:64, -64:]]).reshape(-1, 3)
        assert np.abs(corners.mean(axis=0) - (203, 230, 252)).max() < 15
        middle = picture[448:640, 448:576].reshape(-1, 3)
        assert (middle.max(axis=1) - middle.min(axis=1)).mean() > 80


def test_the_same_seeds_give_the_same_pixels(pipeline: Pipeline, output: PipelineOutput) -> None:
    assert (draw(pipeline).pixels == output.pixels).all()


def test_a_seed_drawn_alone_gives_its_picture_of_the_batch(pipeline: Pipeline, output: PipelineOutput) -> None:
    """Except for rounding, because another batch size adds in another order. Measured: 1 of 256 levels in 0.003 %."""
    alone = draw(pipeline, seeds=SEEDS[1:2]).pixels[0].astype(int)
    difference = np.abs(alone - output.pixels[1])
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.001


def test_another_prompt_gives_another_picture(pipeline: Pipeline, output: PipelineOutput) -> None:
    teapot = draw(pipeline, "a teapot", SEEDS[:1]).pixels[0].astype(int)
    assert np.abs(teapot - output.pixels[0]).mean() > 10


def test_progress_rises_to_the_last_step(pipeline: Pipeline) -> None:
    reported: list[Progress] = []
    pipeline.draw(PROMPT, SEEDS[:1], reported.append, lambda: False)
    assert reported[0] == Progress(Phase.ENCODING)
    assert [replace(progress, previews=()) for progress in reported[1:]] == [
        Progress(Phase.DRAWING, step, 12) for step in range(13)
    ]
    percents = [progress.percent for progress in reported]
    assert percents == sorted(percents)


@pytest.mark.parametrize("step", [0, 5, 12])
def test_it_stops_at_the_step_at_which_it_is_asked_to(pipeline: Pipeline, step: int) -> None:
    reported: list[Progress] = []
    with pytest.raises(Cancelled):
        pipeline.draw(PROMPT, SEEDS[:1], reported.append, lambda: reported[-1].step == step)
    assert replace(reported[-1], previews=()) == Progress(Phase.DRAWING, step, 12)


def test_after_a_stop_it_draws_as_before(pipeline: Pipeline, output: PipelineOutput) -> None:
    reported: list[Progress] = []
    with pytest.raises(Cancelled):
        pipeline.draw("a teapot", SEEDS, reported.append, lambda: reported[-1].step == 3)
    assert (draw(pipeline).pixels == output.pixels).all()


class ScarceMemory:
    """A device with memory for only so many pictures in a batch. It is a hook of the transformer."""

    def __init__(self, pictures: int) -> None:
        self.room = 2 * pictures  # guidance doubles the batch
        self.batches: list[int] = []

    def __call__(self, _: object, __: object, fields: dict[str, torch.Tensor]) -> None:
        self.batches.append(len(fields["hidden_states"]))
        if self.batches[-1] > self.room:
            raise torch.OutOfMemoryError

    @contextmanager
    def around(self, pipeline: Pipeline) -> Iterator[None]:
        handle = pipeline.transformer.register_forward_pre_hook(self, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()
            pipeline.max_batch = None


def test_with_too_little_memory_the_pictures_are_drawn_one_by_one(pipeline: Pipeline, output: PipelineOutput) -> None:
    reported: list[Progress] = []
    memory = ScarceMemory(pictures=1)
    with memory.around(pipeline):
        alone = pipeline.draw(PROMPT, SEEDS, reported.append, lambda: False)
        steps = [2 if is_guided else 1 for is_guided in pipeline.guided_steps()]
        assert memory.batches == [8] + 4 * steps
        draw(pipeline, seeds=SEEDS[:2])  # the pipeline does not try the large batch again
        assert memory.batches[49:] == 2 * steps
    assert np.abs(alone.pixels.astype(int) - output.pixels).max() <= 2
    told = [progress.step for progress in reported[2:]]
    assert told == sorted(told)
    assert told[-1] == 12


def test_without_memory_for_one_picture_the_call_fails_and_the_next_one_works(
    pipeline: Pipeline, output: PipelineOutput
) -> None:
    memory = ScarceMemory(pictures=0)
    with memory.around(pipeline), pytest.raises(GpuMemory):
        draw(pipeline)
    assert memory.batches == [8, 2]
    assert (draw(pipeline).pixels == output.pixels).all()


class DeadGpu:
    """A transformer on a GPU that refuses every call, as after an illegal memory access."""

    @property
    def device(self) -> torch.device:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_a_device_that_does_not_answer_cannot_draw(pipeline: Pipeline) -> None:
    assert pipeline.can_draw()
    assert not replace(pipeline, transformer=DeadGpu()).can_draw()


def test_the_ignored_part_of_a_long_prompt_is_reported(pipeline: Pipeline, output: PipelineOutput) -> None:
    assert output.ignored == 0
    ignored = draw(pipeline, "漢字" * 250, SEEDS[:1]).ignored
    assert 0 < ignored < 500


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_single_value_that_is_not_a_number_is_refused(value: float) -> None:
    """Without the check, a NaN would become black without an error."""
    images = torch.rand(2, 3, 8, 8)
    images[1, 2, 3, 4] = value
    with pytest.raises(BadImage):
        to_pixels(images)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_latents_that_are_not_numbers_are_refused(pipeline: Pipeline, value: float) -> None:
    latents = torch.zeros(2, 16, 16, 16)
    latents[1, 0, 8, 8] = value
    with torch.inference_mode(), pytest.raises(BadImage):
        decode(pipeline.decoder, latents)


def test_a_plain_ground_has_no_frame(pipeline: Pipeline) -> None:
    """A convolution's zeros beyond the border would be seen as a line around each picture."""
    latents = torch.zeros(1, 16, 16, 16)
    latents[:, 0] = 0.5
    with torch.inference_mode():
        picture = pipeline.decoder.decode(latents)[0]
    inner = picture[:, 448:576, 448:576].mean(dim=(1, 2))
    edges = torch.cat([picture[:, :4].flatten(1), picture[:, -4:].flatten(1)], dim=1).mean(dim=1)
    sides = torch.cat([picture[..., :4].flatten(1), picture[..., -4:].flatten(1)], dim=1).mean(dim=1)
    assert torch.stack([edges - inner, sides - inner]).abs().max() < 0.01


@pytest.mark.parametrize("colour", [(0.0, 0.0, 0.0), (1.0, -1.0, -1.0)], ids=["grey", "red"])
def test_a_picture_of_one_colour_is_refused(colour: tuple[float, float, float]) -> None:
    images = torch.rand(2, 3, 8, 8)
    images[1] = torch.tensor(colour)[:, None, None]
    with pytest.raises(BadImage):
        to_pixels(images)


def test_loading_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """No progress bar of a library may get into the worker's log."""
    load()
    assert capfd.readouterr() == ("", "")


def test_the_working_directory_does_not_matter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load().model == "mini"


def test_waiting_threads_sleep() -> None:
    """The OpenMP runtime itself prints its setting. A setting made after torch has loaded it would come too late."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    printed = subprocess.run(
        [sys.executable, "-c", "import onbrand.hidream.decoding.vae"],
        env=environment | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(
        r"(GOMP_SPINCOUNT|KMP_BLOCKTIME)\s*=\s*'0", printed.stderr
    )  # the name of the setting in GNU's and in LLVM's runtime
