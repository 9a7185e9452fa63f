"""Previews: small JPEGs of the pictures while they are drawn, made by one matrix multiplication instead of the decoder.

A preview shows the clean latents that the current step predicts, not the noisy latents of that step. The matrix is
fitted to the model's decoder (`fit_projection`, `fit_decoder_projection`). Stored pictures are never made this way.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

logger = logging.getLogger(__name__)

_QUALITY = 80
_MIN_INTERVAL_SECONDS = 0.12
_MOST_DEVIATION = 1.5  # of a picture's latents; of the mini's training pictures 99 % have less
_FITTED_PICTURES = 8
_FITTED_SIZE = 256  # pixels along one side
_MIN_LATENTS = 8  # along one side


@dataclass(frozen=True)
class Projection:
    """Maps the C channels of one latent to a block of `block` × `block` RGB pixels."""

    weight: Tensor  # (3·block², C)
    bias: Tensor  # (3·block²,)
    block: int

    def __call__(self, latents: Tensor) -> Tensor:
        """(B, C, H, W) latents to (B, 3, block·H, block·W) RGB, about -1 to 1."""
        blocks = torch.einsum("nkhw,ck->nchw", latents, self.weight) + self.bias[:, None, None]
        return F.pixel_shuffle(blocks, self.block)


def fit_projection(latents: Tensor, pictures: Tensor) -> Projection:
    """Fit a projection to the output of a decoder, by least squares with an intercept.

    `latents` are (N, C, H, W). `pictures` are (N, 3, block·H, block·W): the decoder's output, scaled down. There must
    be more latents (N·H·W) than channels.
    """
    block = pictures.shape[-1] // latents.shape[-1]
    samples = latents.double().movedim(1, -1).flatten(0, 2)
    targets = F.pixel_unshuffle(pictures.double(), block).movedim(1, -1).flatten(0, 2)
    ones = torch.ones(len(samples), 1, dtype=samples.dtype)
    solution = torch.linalg.lstsq(torch.cat([samples, ones], dim=1), targets).solution
    return Projection(solution[:-1].T.to(latents.dtype), solution[-1].to(latents.dtype), block)


@torch.no_grad()
def fit_decoder_projection(decode: Callable[[Tensor], Tensor], channels: int) -> Projection:
    """Fit a projection to a decoder that has no linear part, with one pixel for each latent.

    `decode` takes (1, channels, H, W) float32 latents on the CPU and returns (1, 3, f·H, f·W) RGB, about -1 to 1, on
    any device. It decodes eight pictures, the same ones each time. For HiDream (f = 8) they have 256×256 pixels, which
    together is half the work of one stored picture.

    The latents of real pictures consist mostly of areas of colour, and these are what a preview shows. Therefore the
    fit uses smooth random latents. For the mini model's decoder the projection explains 97 % of the variance
    (measured).
    """
    scale_factor = decode(torch.zeros(1, channels, _MIN_LATENTS, _MIN_LATENTS)).shape[-1] // _MIN_LATENTS
    size = max(_MIN_LATENTS, _FITTED_SIZE // scale_factor)
    latents = smooth_latents(_FITTED_PICTURES, channels, size)
    pictures = torch.cat([decode(latent[None]).float().cpu() for latent in latents])
    return fit_projection(latents, F.interpolate(pictures, (size, size), mode="area"))


def smooth_latents(count: int, channels: int, size: int, seed: int = 0) -> Tensor:
    """Random (count, channels, size, size) latents of unit variance that change slowly in space."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.zeros(count, channels, size, size)
    for features in (1, 2, 4):  # along one side
        coarse = torch.randn(count, channels, features, features, generator=generator)
        latents += F.interpolate(coarse, (size, size), mode="bilinear", align_corners=False)
    return latents / latents.std()


def _limit_variance(latents: Tensor) -> Tensor:
    """Scale down latents whose deviation is above that of nearly all clean pictures.

    In the first steps guidance overshoots, and the previews would have glaring colours.
    """
    deviations = latents.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return latents / (deviations / _MOST_DEVIATION).clamp(min=1)


class Previews:
    """The previews of one request. Steps that follow too soon get none, because a fast model would lose time."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self._next = 0.0

    def render(self, latents: Callable[[], Tensor]) -> tuple[bytes, ...]:
        """Make a JPEG of each of the (B, C, H, W) predicted latents.

        The result is empty if the last previews are less than 0.12 s old, or if these cannot be made. No error is
        raised, because a picture must not fail only because its preview failed.
        """
        if time.monotonic() < self._next:
            return ()
        try:
            jpegs = to_jpegs(self._projection(_limit_variance(latents().float().cpu())))
        except (RuntimeError, IndexError, OSError) as error:  # errors of torch (also out of memory) and of Pillow
            logger.warning("No preview: %s", type(error).__name__, extra={"action": "model_output"})
            jpegs = ()
        self._next = time.monotonic() + _MIN_INTERVAL_SECONDS
        return jpegs


def to_jpegs(pictures: Tensor) -> tuple[bytes, ...]:
    """(B, 3, H, W) RGB from -1 to 1, clamped, to JPEG files; empty if any value is not finite."""
    if not torch.isfinite(pictures).all():
        return ()
    pixels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return tuple(_to_jpeg(Image.fromarray(picture)) for picture in pixels)


def _to_jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
