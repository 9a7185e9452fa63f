"""A run of the denoiser in a folder: its recipe as JSON, its checkpoints, its progress and its sample sheets."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from models.mini.recipe.autoencoder import Basis
from models.mini.recipe.data import Shards
from models.mini.recipe.denoiser import Recipe, Size, averaged, draw, make_training, scales
from models.mini.recipe.export import read_transformer
from models.mini.recipe.text import Text
from onbrand.training.checkpoints import checkpoints, load_checkpoint
from onbrand.training.ema import Average
from onbrand.training.flow import TimeSampling
from onbrand.training.loop import Pace, run
from onbrand.training.progress import Line
from onbrand.training.schedule import Schedule
from onbrand.training.sheets import to_images, write_sheet

SHEET_PROMPTS = Path(__file__).parent / "sheet_prompts.txt"


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Keep the recipe with the run; a run that has one keeps it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.json"
    if not path.exists():
        path.write_text(json.dumps(dataclasses.asdict(recipe), indent=2) + "\n", "utf-8")


def read_recipe(folder: Path) -> Recipe:
    """The recipe of a run."""
    kept: dict[str, Any] = json.loads((folder / "recipe.json").read_text("utf-8"))
    kept["size"] = Size(**kept["size"])
    kept["times"] = TimeSampling(**kept["times"])
    kept["schedule"] = Schedule(**kept["schedule"])
    kept["betas"] = tuple(kept["betas"])
    return Recipe(**kept)


def write_basis(path: Path, basis: Basis) -> None:
    """Keep the encoder."""
    save_file(dataclasses.asdict(basis), path)


def read_basis(path: Path) -> Basis:
    """The encoder that `write_basis` kept."""
    return Basis(**load_file(path))


def shard_folders(data: Path) -> list[Path]:
    """The shards that are whole, in order."""
    return sorted(path for path in data.iterdir() if path.is_dir() and "." not in path.name)


def train_denoiser(
    folder: Path,
    data: Path,
    basis: Basis,
    text: Text,
    *,
    pace: Pace | None = None,
    steps: int | None = None,
    is_compiled: bool = False,
    base: Path | None = None,
    on_line: Callable[[Line], None] = lambda _: None,
) -> int:
    """Train in `folder` with the shards of `data`, from where the run stands; returns the steps done.

    A new run begins with random weights, or with those of a `base` that was exported from another run. The process's
    number is in `train.pid` while it runs. Shards that come later are used from the next start on.
    """
    recipe = read_recipe(folder)
    shards = Shards.open(shard_folders(data))
    start = None if base is None else read_transformer(base / "transformer", recipe.size)
    training = make_training(recipe, shards, basis, text, is_compiled=is_compiled, start=start)
    pid = folder / "train.pid"
    pid.write_text(f"{os.getpid()}\n", "utf-8")

    def on_sheet(step: int, average: Average) -> None:
        sheet(folder / f"sheet-{step:09d}.png", recipe, average.weights, basis, text)

    try:
        return run(training, folder, pace=pace or Pace(), steps=steps, on_line=on_line, on_sheet=on_sheet)
    finally:
        pid.unlink(missing_ok=True)


def sheet(path: Path, recipe: Recipe, weights: dict[str, torch.Tensor], basis: Basis, text: Text) -> None:
    """Fixed prompts with fixed seeds, through the linear part of the decoder."""
    prompts = SHEET_PROMPTS.read_text("utf-8").splitlines()
    images = pictures(recipe, weights, basis, text, prompts, list(range(100, 100 + len(prompts))))
    write_sheet(path, images, prompts, columns=8, side=128)


def pictures(
    recipe: Recipe, weights: dict[str, torch.Tensor], basis: Basis, text: Text, prompts: Sequence[str], seeds: list[int]
) -> list[Image.Image]:
    """128-pixel pictures of the prompts by a network with these weights."""
    network = averaged(recipe.size, weights)
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.is_bf16):
        latents = draw(network, text, prompts, seeds, channels=recipe.size.channels)
    divisor = scales(basis, recipe.size.channels, recipe.spread).view(-1, 1, 1)
    return to_images(basis.decode(latents.float() * divisor))


def decay(run_folder: Path, target: Path, steps: int, singles: float | None = None) -> None:
    """Begin a copy of a run that comes down to a learning rate of zero within `steps`; the run itself isn't touched.

    Train the copy as any other run. `singles` is its share of pictures with one thing; None: that of the run.
    """
    newest = checkpoints(run_folder)[-1]
    step = int(load_checkpoint(newest)["step"])
    recipe = read_recipe(run_folder)
    target.mkdir(parents=True, exist_ok=True)
    os.link(newest, target / newest.name)
    schedule = dataclasses.replace(recipe.schedule, decay_from=step, decay=steps)
    singles = recipe.singles if singles is None else singles
    window = min(recipe.window, steps / 4)
    write_recipe(target, dataclasses.replace(recipe, schedule=schedule, window=window, singles=singles))
