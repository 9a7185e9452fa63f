"""How the pictures look while they are drawn: small JPEGs by one matrix multiplication, not by a decode.

What is shown is where the drawing is heading, not the noisy latents it stands at. The multiplication is fitted to the
model's decoder (`fit`, `fit_decoder_projection`); it makes no picture that is stored.
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
_SECONDS_APART = 0.12
_FITTED_PICTURES = 8
_FITTED_SIZE = 256  # pixels
_FEWEST_LATENTS = 8  # one way


@dataclass(frozen=True)
class Projection:
    """From C latent channels to a block of `block` × `block` RGB pixels: `weight` (3·block², C), `bias` (3·block²)."""

    weight: Tensor
    bias: Tensor
    block: int

    def __call__(self, latents: Tensor) -> Tensor:
        """(B, C, H, W) latents to (B, 3, block·H, block·W) RGB, about -1 to 1."""
        blocks = torch.einsum("nkhw,ck->nchw", latents, self.weight) + self.bias[:, None, None]
        return F.pixel_shuffle(blocks, self.block)


def fit_projection(latents: Tensor, pictures: Tensor) -> Projection:
    """The projection that comes closest to what the decoder made: least squares with an intercept.

    `latents` (N, C, H, W), `pictures` (N, 3, block·H, block·W): the decoder's output, scaled down. There must be more
    latents (N·H·W) than channels.
    """
    block = pictures.shape[-1] // latents.shape[-1]
    samples = latents.double().movedim(1, -1).flatten(0, 2)
    wanted = F.pixel_unshuffle(pictures.double(), block).movedim(1, -1).flatten(0, 2)
    ones = torch.ones(len(samples), 1, dtype=samples.dtype)
    solution = torch.linalg.lstsq(torch.cat([samples, ones], dim=1), wanted).solution
    return Projection(solution[:-1].T.to(latents.dtype), solution[-1].to(latents.dtype), block)


@torch.no_grad()
def fit_decoder_projection(decode: Callable[[Tensor], Tensor], channels: int) -> Projection:
    """The projection that comes closest to a decoder without a linear part: one pixel a latent.

    `decode` takes (1, channels, H, W) float32 latents on the CPU and returns (1, 3, f·H, f·W) RGB, about -1 to 1,
    anywhere. It is asked for eight pictures, the same ones each time; HiDream's (f = 8) are 256×256, which is half the
    work of one that is stored.

    Areas of colour are what a preview shows and what the latents of a drawing mostly are, so smooth latents stand in
    for drawings. On the mini model's decoder the projection leaves 3 % of the variance of such pictures (measured).
    """
    scale_factor = decode(torch.zeros(1, channels, _FEWEST_LATENTS, _FEWEST_LATENTS)).shape[-1] // _FEWEST_LATENTS
    size = max(_FEWEST_LATENTS, _FITTED_SIZE // scale_factor)
    latents = smooth_latents(_FITTED_PICTURES, channels, size)
    pictures = torch.cat([decode(latent[None]).float().cpu() for latent in latents])
    return fit_projection(latents, F.interpolate(pictures, (size, size), mode="area"))


def smooth_latents(count: int, channels: int, size: int, seed: int = 0) -> Tensor:
    """(count, channels, size, size) latents of unit variance that change slowly from place to place."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.zeros(count, channels, size, size)
    for features in (1, 2, 4):  # in a row
        coarse = torch.randn(count, channels, features, features, generator=generator)
        latents += F.interpolate(coarse, (size, size), mode="bilinear", align_corners=False)
    return latents / latents.std()


def _limit_variance(latents: Tensor) -> Tensor:
    """Guidance overshoots in the first steps, which would be glaring; clean latents have about unit variance."""
    return latents / latents.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1)


class Previews:
    """The previews of one drawing. Some steps get none: a fast model would spend its time on them."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self._next = 0.0

    def render(self, latents: Callable[[], Tensor]) -> tuple[bytes, ...]:
        """A JPEG for each of (B, C, H, W) predicted latents; none if the last ones were just now or these are broken.

        Nothing is raised: a drawing does not fail because it cannot be watched.
        """
        if time.monotonic() < self._next:
            return ()
        try:
            jpegs = to_jpegs(self._projection(_limit_variance(latents().float().cpu())))
        except (RuntimeError, IndexError, OSError) as error:  # torch's own errors, memory included, and Pillow's
            logger.warning("No preview: %s", type(error).__name__, extra={"action": "model_output"})
            jpegs = ()
        self._next = time.monotonic() + _SECONDS_APART
        return jpegs


def to_jpegs(pictures: Tensor) -> tuple[bytes, ...]:
    """(B, 3, H, W) RGB from -1 to 1, clamped, as JPEG files; none at all if a value is not finite."""
    if not torch.isfinite(pictures).all():
        return ()
    pixels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return tuple(_to_jpeg(Image.fromarray(picture)) for picture in pixels)


def _to_jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
