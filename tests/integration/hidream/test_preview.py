"""Previews: what they show, how often they come, and that the pictures do not depend on them."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from onbrand.config import REPOSITORY
from onbrand.hidream.decoding import preview
from onbrand.hidream.decoding.decode import Decoder, decode_kl
from onbrand.hidream.decoding.preview import (
    Previews,
    Projection,
    fit_decoder_projection,
    fit_projection,
    smooth_latents,
    to_jpegs,
)
from onbrand.hidream.decoding.vae import enlarge
from onbrand.hidream.load import load_pipeline
from onbrand.hidream.pipeline import Pipeline, PipelineOutput
from onbrand.jobs.models import Progress
from onbrand.packs.base import load_base
from onbrand.packs.manifest import SAMPLE, load_pack
from onbrand.storage.files import LocalFolder
from tests.tiny import tiny_pipeline

MINI = REPOSITORY / "models" / "mini"
PROMPT = "a red backpack on a light blue background"
SEEDS = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return load_pipeline(load_base(LocalFolder(MINI)), load_pack(MINI / SAMPLE))


@pytest.fixture
def no_minimum_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a preview after each step, also on a fast machine."""
    monkeypatch.setattr(preview, "_MIN_INTERVAL_SECONDS", 0.0)


def draw(pipeline: Pipeline) -> tuple[PipelineOutput, list[Progress]]:
    seen: list[Progress] = []
    return pipeline.draw(PROMPT, SEEDS, seen.append, lambda: False), seen


@dataclass(frozen=True)
class WithProjection:
    """A decoder whose previews come from another projection."""

    decoder: Decoder
    projection: Projection

    @property
    def scale_factor(self) -> int:
        return self.decoder.scale_factor

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder.decode(latents)


def opened(jpeg: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(jpeg)) as image:
        assert image.format == "JPEG"
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.usefixtures("no_minimum_interval")
def test_each_step_has_four_small_jpegs_that_come_closer_to_the_pictures(pipeline: Pipeline) -> None:
    drawing, seen = draw(pipeline)
    assert [len(progress.previews) for progress in seen] == [0, 0] + [4] * 12  # there are none before the first step
    assert max(len(jpeg) for progress in seen for jpeg in progress.previews) < 6000
    pictures = [
        np.asarray(Image.fromarray(pixels).resize((128, 128), Image.Resampling.BOX)).astype(int)
        for pixels in drawing.pixels
    ]
    for n, picture in enumerate(pictures):
        shown = [opened(progress.previews[n]) for progress in seen[2:]]
        assert {image.shape for image in shown} == {(128, 128, 3)}
        psnr = [20 * math.log10(255 / np.sqrt(np.square(image - picture).mean())) for image in shown]
        assert psnr[-1] > 25
        assert psnr[5] > 22  # after half of the steps the picture can be recognised
        assert all(later > earlier - 0.5 for earlier, later in pairwise(psnr[1:]))


@pytest.mark.usefixtures("no_minimum_interval")
def test_a_preview_shows_the_predicted_picture_and_not_the_noise(pipeline: Pipeline) -> None:
    _, seen = draw(pipeline)
    early = opened(seen[4].previews[0])  # after three of twelve steps
    background = np.concatenate([early[:12, :12], early[:12, -12:]]).reshape(-1, 3)
    assert background.std(axis=0).max() < 20
    assert background.mean() > 200  # light blue, as was asked


@pytest.mark.usefixtures("no_minimum_interval")
def test_previews_do_not_change_the_pixels(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing, _ = draw(pipeline)
    monkeypatch.setattr(preview, "_MIN_INTERVAL_SECONDS", math.inf)
    without, seen = draw(pipeline)
    assert [len(progress.previews) for progress in seen] == [0, 0, 4] + [0] * 11
    assert (without.pixels == drawing.pixels).all()


@pytest.mark.usefixtures("no_minimum_interval")
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_failed_preview_does_not_stop_the_pipeline(pipeline: Pipeline, value: float) -> None:
    projection = pipeline.decoder.projection
    broken = Projection(projection.weight * value, projection.bias, 8)
    drawing, seen = draw(replace(pipeline, decoder=WithProjection(pipeline.decoder, broken)))
    assert drawing.pixels.shape == (4, 1024, 1024, 3)
    assert all(progress.previews == () for progress in seen)


@pytest.mark.usefixtures("no_minimum_interval")
def test_without_memory_for_a_preview_there_is_only_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    def no_memory(_: Tensor) -> Tensor:
        raise torch.OutOfMemoryError

    previews = Previews(no_memory)  # type: ignore[arg-type]  # at the outer edge: a GPU
    assert previews.render(lambda: torch.zeros(4, 16, 16, 16)) == ()
    assert [line.levelname for line in caplog.records] == ["WARNING"]


def test_a_fast_model_has_fewer_previews(pipeline: Pipeline) -> None:
    previews, latents = Previews(pipeline.decoder.projection), torch.zeros(4, 16, 16, 16)
    assert [len(previews.render(lambda: latents)) for _ in range(3)] == [4, 0, 0]
    assert (
        len(Previews(pipeline.decoder.projection).render(lambda: latents)) == 4
    )  # the next request has its own interval


@pytest.mark.parametrize(("channels", "size", "block"), [(16, 32, 1), (16, 4, 8)], ids=["HiDream", "mini"])
def test_fitting_finds_a_linear_decoder_exactly(channels: int, size: int, block: int) -> None:
    generator = torch.Generator().manual_seed(1)
    decoder = Projection(
        torch.randn(3 * block**2, channels, generator=generator), torch.randn(3 * block**2, generator=generator), block
    )
    latents = torch.randn(8, channels, size, size, generator=generator)
    found = fit_projection(latents, decoder(latents))
    assert torch.allclose(found.weight, decoder.weight, atol=1e-5)
    assert torch.allclose(found.bias, decoder.bias, atol=1e-5)
    assert found(latents).shape == (8, 3, size * block, size * block)


def test_fitting_finds_the_best_projection_for_a_decoder_that_is_not_linear() -> None:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(64, 4, 16, 16, generator=generator)
    weight = torch.randn(3, 4, generator=generator)
    pictures = torch.tanh(torch.einsum("nkhw,ck->nchw", latents, weight) + 0.2)
    found = fit_projection(latents, pictures)
    error = F.mse_loss(found(latents), pictures)
    for scale in (0.9, 1.1):
        other = Projection(found.weight * scale, found.bias, 1)
        assert error < F.mse_loss(other(latents), pictures)
    assert error < F.mse_loss(Projection(found.weight, found.bias + 0.05, 1)(latents), pictures)


def test_a_decoder_without_a_linear_part_is_fitted_with_one_pixel_per_latent(pipeline: Pipeline) -> None:
    """For the mini model's trained decoder the projection leaves 3 % of the variance (measured)."""
    decode = pipeline.decoder.decode
    found = fit_decoder_projection(decode, 16)
    latents = smooth_latents(4, 16, 16, seed=7)
    with torch.no_grad():
        pictures = F.interpolate(decode(latents), (16, 16), mode="area")
    assert found(latents).shape == pictures.shape
    constant = pictures.mean(dim=(0, 2, 3), keepdim=True).expand_as(pictures)
    assert F.mse_loss(found(latents), pictures) < 0.05 * F.mse_loss(constant, pictures)


def test_a_fit_is_the_same_each_time_and_needs_no_gradient() -> None:
    vae = tiny_pipeline().vae
    first, second = (fit_decoder_projection(lambda latents: decode_kl(vae, latents), 4) for _ in range(2))
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)
    assert (first.weight.shape, first.block) == ((3, 4), 1)
    assert not first.weight.requires_grad


def test_hidreams_previews_are_128_pixels_wide() -> None:
    """One pixel per latent. The fitted pictures have 256×256 pixels."""
    decoded: list[tuple[int, ...]] = []

    def decode(latents: Tensor) -> Tensor:
        decoded.append(tuple(latents.shape))
        return F.interpolate(latents[:, :3], scale_factor=8)

    projection = fit_decoder_projection(decode, 16)
    assert projection(torch.zeros(4, 16, 128, 128)).shape == (4, 3, 128, 128)
    assert decoded[1:] == [(1, 16, 32, 32)] * 8


@pytest.mark.usefixtures("no_minimum_interval")
def test_an_error_in_the_predicted_latents_gives_no_preview(pipeline: Pipeline) -> None:
    def no_sigma() -> Tensor:
        raise IndexError("index 13 is out of bounds")

    assert Previews(pipeline.decoder.projection).render(no_sigma) == ()


@pytest.mark.usefixtures("no_minimum_interval")
def test_latents_of_high_variance_are_scaled_down_and_those_of_low_variance_are_not(
    pipeline: Pipeline,
) -> None:
    previews, latents = Previews(pipeline.decoder.projection), torch.randn(1, 16, 16, 16)
    latents /= latents.square().mean().sqrt()
    normal, strong, faint = (
        opened(previews.render(partial(torch.mul, latents, strength))[0]) for strength in (1.5, 2.4, 0.5)
    )
    assert np.abs(strong - normal).max() <= 2
    assert faint.std() < 0.7 * normal.std()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_give_no_jpeg(value: float) -> None:
    pictures = torch.zeros(2, 3, 8, 8)
    pictures[1, 0, 0, 0] = value
    assert to_jpegs(pictures) == ()


def test_a_picture_is_enlarged_as_by_torch() -> None:
    pictures = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = F.interpolate(pictures, scale_factor=8, mode="bicubic", align_corners=False)
    assert torch.allclose(enlarge(pictures, 8), expected, rtol=0, atol=1e-5)
