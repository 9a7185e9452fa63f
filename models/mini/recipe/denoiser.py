"""The denoiser: diffusers' HiDream transformer at small size, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from models.mini.recipe.autoencoder import Basis
from models.mini.recipe.data import Shards
from models.mini.recipe.text import LAYERS, SLOTS, Text
from onbrand.hidream.network.transformer import compile_blocks
from onbrand.hidream.text.encode import Embeddings
from onbrand.training.ema import Average
from onbrand.training.flow import TimeSampling, flow_loss
from onbrand.training.loop import Training
from onbrand.training.optimiser import Optimiser
from onbrand.training.schedule import Schedule
from onbrand.training.transformer import TrainedTransformer
from onbrand.training.velocity import training_attention, velocity

TEXT_WIDTH = 384
GRID = 16  # latents one way


@dataclass(frozen=True)
class Size:
    """The network's measures; `heads` of 64 numbers each."""

    channels: int = 16
    patch: int = 2
    heads: int = 4
    double: int = 2
    single: int = 5

    def config(self) -> dict[str, Any]:
        """diffusers' configuration. The last text layer also goes in at the first block, as in HiDream."""
        blocks = self.double + self.single
        # Shallow layers first; the last entry is the text that all blocks share.
        layers = [min(len(LAYERS) - 1, block * len(LAYERS) // blocks) for block in range(blocks)]
        return {
            "patch_size": self.patch,
            "in_channels": self.channels,
            "out_channels": self.channels,
            "num_layers": self.double,
            "num_single_layers": self.single,
            "attention_head_dim": 64,
            "num_attention_heads": self.heads,
            "caption_channels": [TEXT_WIDTH, TEXT_WIDTH],
            "text_emb_dim": TEXT_WIDTH,
            "num_routed_experts": 0,
            "num_activated_experts": 0,
            "axes_dims_rope": [16, 24, 24],
            "max_resolution": [GRID, GRID],
            "llama_layers": layers,
            "force_inference_output": True,
        }


@dataclass(frozen=True)
class Recipe:
    """All settings of a run; a run folder keeps them in `recipe.json`."""

    size: Size = field(default_factory=Size)
    spread: float = 0.5  # 0: components as they are; 1: whitened; between: deviations to the power 1 - spread
    times: TimeSampling = field(default_factory=lambda: TimeSampling(mean=0.4, deviation=1.0, uniform_share=0.1))
    batch: int = 8
    learning_rate: float = 1e-3
    use_muon: bool = False
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    window: float = 1000.0
    caption_dropout: float = 0.1
    singles: float | None = None  # of the pictures, the share with one thing; None: as many as come
    schedule: Schedule = field(default_factory=lambda: Schedule(warmup=300))
    is_bf16: bool = True
    seed: int = 1


def scales(basis: Basis, channels: int, spread: float) -> Tensor:
    """(channels,) what components are divided by, so that the latents' mean variance is 1."""
    deviations = basis.deviations[:channels]
    scaled = deviations ** (1 - spread)
    return deviations**spread * scaled.square().mean().sqrt()


def build(size: Size, seed: int) -> TrainedTransformer:
    """A network with random weights, in float32. Modulation and the last layer begin at zero (arXiv 2212.09748)."""
    torch.manual_seed(seed)
    network: TrainedTransformer = TrainedTransformer.from_config(size.config())
    for name, parameter in network.named_parameters():
        if "adaLN_modulation" in name or name.startswith("final_layer.linear"):
            nn.init.zeros_(parameter)
        elif name.startswith("caption_projection") and parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.05)
    return network


def is_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether Muon moves it: matrices of attention and feed-forwards. Modulation, inputs and outputs are AdamW's."""
    return parameter.dim() == 2 and "_blocks." in name and "adaLN" not in name


def make_training(
    recipe: Recipe,
    shards: Shards,
    basis: Basis,
    text: Text,
    *,
    is_compiled: bool,
    start: Mapping[str, Tensor] | None = None,
) -> Training:
    """What `onbrand.training.loop.run` runs, from random weights or from `start`.

    Compiling takes minutes and pays in a run of hours.
    """
    network = build(recipe.size, recipe.seed)
    if start is not None:
        network.load_state_dict(dict(start))
    average = Average(network, recipe.window, every=4)
    named = list(network.named_parameters())
    matrices = [parameter for name, parameter in named if recipe.use_muon and is_matrix(name, parameter)]
    chosen = {id(parameter) for parameter in matrices}
    optimiser = Optimiser(
        matrices,
        [parameter for _, parameter in named if id(parameter) not in chosen],
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        betas=recipe.betas,
    )
    if is_compiled:
        compile_blocks(network)
    states, pooled = text.embed([""])
    empty = torch.from_numpy(states[0]).float(), torch.from_numpy(pooled[0]).float()
    divisor = scales(basis, recipe.size.channels, recipe.spread).view(-1, 1, 1)

    def loss(_step: int, generator: torch.Generator) -> Tensor:
        indices = shards.pick(recipe.batch, recipe.singles, generator)
        latents, states, pooled = shards.batch(indices, recipe.size.channels)
        is_dropped = torch.rand(recipe.batch, generator=generator) < recipe.caption_dropout
        states = states[:, :, :SLOTS]
        states[is_dropped], pooled[is_dropped] = empty
        latents = latents / divisor
        noise = torch.randn(latents.shape, generator=generator)
        times = recipe.times.times(recipe.batch, generator)

        def at_times(noised: Tensor, at: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.is_bf16):
                return predict(network, noised, at, states, pooled)

        with training_attention(network.device):
            return flow_loss(at_times, latents, noise, times).mean()

    return Training(network, optimiser, average, loss, recipe.batch, recipe.schedule, recipe.seed)


def predict(network: TrainedTransformer, latents: Tensor, times: Tensor, states: Tensor, pooled: Tensor) -> Tensor:
    """The velocity (B, C, H, W). `states` (B, layers, slots, D) and `pooled` (B, D) are `Text.embed`'s."""
    return velocity(network, latents, times, Embeddings(states.transpose(0, 1), pooled[:, None], pooled))


@torch.inference_mode()
def draw(
    network: TrainedTransformer,
    text: Text,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    channels: int,
    steps: int = 12,
    guidance_scale: float = 3.5,
    shift: float = 1.0,
    batch: int = 16,
) -> Tensor:
    """(N, channels, 16, 16) latents of each prompt with its seed, by Euler's method as the engine does it."""
    sigmas = torch.linspace(1, 0.001, steps)  # as FlowMatchEulerDiscreteScheduler has them
    sigmas = torch.cat([shift * sigmas / (1 + (shift - 1) * sigmas), torch.zeros(1)])
    empty_states, empty_pooled = (torch.from_numpy(part).float() for part in text.embed([""]))
    drawn = []
    for first in range(0, len(prompts), batch):
        some = list(prompts[first : first + batch])
        states, pooled = (torch.from_numpy(part).float() for part in text.embed(some))
        states = torch.cat([empty_states.expand_as(states), states])
        pooled = torch.cat([empty_pooled.expand_as(pooled), pooled])
        latents = torch.stack(
            [
                torch.randn(channels, GRID, GRID, generator=torch.Generator().manual_seed(seed))
                for seed in seeds[first : first + batch]
            ]
        )
        for sigma, following in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
            times = torch.full((2 * len(latents),), sigma)
            without, given = predict(network, torch.cat([latents, latents]), times, states, pooled).chunk(2)
            latents = latents + (following - sigma) * (without + guidance_scale * (given - without))
        drawn.append(latents)
    return torch.cat(drawn)


def averaged(size: Size, weights: Mapping[str, Tensor]) -> TrainedTransformer:
    """A network for drawing, with averaged weights."""
    network = build(size, 0)
    network.load_state_dict(dict(weights))
    network.requires_grad_(False).eval()
    return network
