"""Load the network between pictures and latents: to draw, only the half that decodes; to train, both halves."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from onbrand.hidream.decoding.vae import PcaVae
from onbrand.hidream.models import Model, Precision
from onbrand.hidream.weights.load_state import load_state
from onbrand.hidream.weights.stream import stream_tensors
from onbrand.packs.base import Base


def scale_factor(base: Base) -> int:
    """Pixels per latent, along one side."""
    blocks: int = len(_config(base)["block_out_channels"])
    return 1 << (blocks - 1)


def load_vae(
    base: Base,
    model: Model,
    precision: Precision,
    device: torch.device,
    on_bytes: Callable[[int], None] = lambda _: None,
    *,
    has_encoder: bool = False,
) -> Any:
    """diffusers' AutoencoderKL, in evaluation mode, without its encoder unless it is asked for; the mini's `PcaVae`.

    Raises:
        WeightsMissing, WeightsUnusable: as for `load.load_pipeline`.
    """
    config = _config(base)
    stream = stream_tensors(base.folder, base.within("vae"), on_bytes=on_bytes)
    if model.decoder == "pca":
        # Not on the meta device, whose random numbers import sympy: it is small.
        network = PcaVae(config["latent_channels"], config["w16"], config["w128"], config["w256"]).to(device)
        load_state(network, stream)
        return network.requires_grad_(False).eval()
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    dtype = torch.float32 if precision is Precision.FLOAT32 else torch.bfloat16
    with torch.device("meta"):
        vae = nn.Module.to(AutoencoderKL.from_config(config), dtype)  # diffusers' `to` logs a needless warning
    ignored: tuple[str, ...] = ()
    if not has_encoder:
        vae.encoder = vae.quant_conv = None  # they turn pictures into latents
        ignored = ("encoder.", "quant_conv.")
    load_state(vae.to_empty(device=device), stream, is_ignored=lambda name: name.startswith(ignored))
    return vae.requires_grad_(False).eval()


def _config(base: Base) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(base.read("vae/config.json"))
    return document
