"""A recogniser that has never seen the art the miniature learned from.

It learns from icon sets that the denoiser never sees (`JUDGED_BY`), in colours and on grounds and at places of its own,
and says which thing a picture shows. How many clean drawings of the miniature's own sets it names is the measure for
how many of the miniature's pictures it should name. It is never shipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.mini.recipe.art import Art
from models.mini.recipe.colours import COLOURS, GROUNDS, Families, families, from_oklab, recolour, rgb_of
from models.mini.recipe.concepts import Concept
from onbrand.training.ema import Average
from onbrand.training.loop import Training
from onbrand.training.optimiser import Optimiser
from onbrand.training.schedule import Schedule

JUDGED_BY = ("twemoji", "emojione", "fxemoji")  # CC BY 4.0 and Apache-2.0; for judging only
SIDE = 64  # pixels
STEPS = 3_000


@dataclass(frozen=True)
class Subject:
    """A thing with drawings that the judge may learn from."""

    name: str
    drawings: tuple[str, ...]


def subjects(art: Art, concepts: Sequence[Concept], least: int = 2) -> list[Subject]:
    """The concepts of which the judge's sets have at least `least` drawings; names are matched without hyphens."""
    known: dict[str, dict[str, str]] = {}
    for one in JUDGED_BY:
        known[one] = {name.replace("-", ""): name for name in art.icons(one)}
    found = []
    for concept in concepts:
        bare = [name.rsplit("/", 1)[-1].replace("-", "") for name in concept.drawings]
        drawings = [f"{one}/{known[one][name]}" for one in JUDGED_BY for name in bare if name in known[one]]
        if len(drawings) >= least:
            found.append(Subject(concept.name, tuple(dict.fromkeys(drawings))))
    return found


class Recogniser(nn.Module):
    """A small residual network: (B, 3, 64, 64) from -1 to 1 to (B, classes)."""

    def __init__(self, classes: int, width: int = 32) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 6 * width]
        self.stem = nn.Conv2d(3, width, 5, stride=2, padding=2)
        stages = []
        for before, after in zip([width, *widths[:-1]], widths, strict=True):
            stages += [nn.Conv2d(before, after, 3, stride=2, padding=1), _Block(after), _Block(after)]
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Scores of the classes."""
        scores: Tensor = self.head(F.dropout(self.features(pictures), 0.2, self.training))
        return scores

    def features(self, pictures: Tensor) -> Tensor:
        """(B, D), for distances between pictures."""
        maps: Tensor = self.stages(self.stem(pictures))
        return maps.mean(dim=(2, 3))


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.norm = nn.GroupNorm(8, width)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.b(F.silu(self.a(F.silu(self.norm(x)))))
        return x + change


def make_training(art: Art, chosen: Sequence[Subject], steps: int = STEPS, batch: int = 64, seed: int = 21) -> Training:
    """The recogniser's training; each step paints its own pictures."""
    torch.manual_seed(seed)
    network = Recogniser(len(chosen))
    parts = [[families(art.render(drawing, SIDE)) for drawing in subject.drawings] for subject in chosen]
    optimiser = Optimiser([], network.parameters(), learning_rate=1.5e-3, weight_decay=0.02, betas=(0.9, 0.99))

    def loss(_step: int, generator: torch.Generator) -> Tensor:
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        classes = rng.integers(len(chosen), size=batch)
        pictures = np.stack([stage(rng, parts[index][rng.integers(len(parts[index]))]) for index in classes])
        network.train()
        torch.manual_seed(int(rng.integers(2**62)))  # for the dropout
        scores = network(torch.from_numpy(pictures.transpose(0, 3, 1, 2)) * 2 - 1)
        return F.cross_entropy(scores, torch.from_numpy(classes), label_smoothing=0.05)

    schedule = Schedule(warmup=50, decay_from=int(steps * 0.6), decay=steps - int(steps * 0.6))
    return Training(network, optimiser, Average(network, 100), loss, batch, schedule, seed)


def stage(rng: np.random.Generator, parts: Families) -> np.ndarray:
    """(SIDE, SIDE, 3) from 0 to 1: the drawing in some colour, of some size, somewhere, on some ground."""
    colour = "" if rng.random() < 0.3 else str(rng.choice(list(COLOURS.values())))
    plain = np.concatenate([from_oklab(parts.lab), parts.alpha[..., None]], axis=-1)
    rgba = recolour(parts, colour) if colour else plain
    size = int(rng.integers(24, 61))
    rgba = _resized(rgba.astype(np.float32), size / max(rgba.shape[:2]))
    height, width = rgba.shape[:2]
    if rng.random() < 0.3:
        rgba = rgba[:, ::-1]
    ground = rgb_of(str(rng.choice(list(GROUNDS.values()))))
    canvas = np.broadcast_to(ground, (SIDE, SIDE, 3)).copy()
    if rng.random() < 0.25:
        canvas[int(rng.integers(30, 60)) :] = rgb_of(str(rng.choice(list(GROUNDS.values()))))
    top, left = int(rng.integers(0, SIDE - height + 1)), int(rng.integers(0, SIDE - width + 1))
    view = canvas[top : top + height, left : left + width]
    view += (rgba[..., :3] - view) * rgba[..., 3:]
    noise = rng.normal(0, 0.03 * rng.random(), canvas.shape).astype(np.float32)
    return np.clip(canvas + noise, 0, 1).astype(np.float32)


def _resized(rgba: np.ndarray, factor: float) -> np.ndarray:
    tensor = torch.from_numpy(np.ascontiguousarray(rgba.transpose(2, 0, 1)))[None]
    resized = F.interpolate(tensor, scale_factor=factor, mode="bilinear", antialias=True)
    return resized[0].numpy().transpose(1, 2, 0)


@torch.inference_mode()
def recognise(network: Recogniser, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) classes and (N, D) features of (N, SIDE, SIDE, 3) pictures from 0 to 1."""
    network.eval()
    tensor = torch.from_numpy(pictures.transpose(0, 3, 1, 2)).float() * 2 - 1
    features = network.features(tensor)
    return network.head(features).argmax(dim=1).numpy(), features.numpy()
