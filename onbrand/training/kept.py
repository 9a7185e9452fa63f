"""What a run keeps for good at each milestone: the averaged LoRA, the losses, and a sheet of samples.

`RUN/checkpoints/000080/` is whole when its `checkpoint.json` is there, which is written last. All are kept: the last
one was the worst trained one on held-out loss (measured, notes on training).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from PIL import Image
from pydantic import ConfigDict, TypeAdapter, ValidationError

from onbrand.errors import RunUnusable
from onbrand.storage.files import STRICT
from onbrand.training.record import CHECKPOINTS
from onbrand.training.sheets import write_sheet
from onbrand.training.whole_files import write_whole

LORA = "lora.safetensors"
SHEET = "sheet.png"
_DONE = "checkpoint.json"
_SIDE = 256  # pixels of a sample on a sheet

# Noise levels of the held-out loss: fixed, as in kohya's scripts, SimpleTuner and diffusion-pipe.
SIGMAS = (0.1, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True)
class Checkpoint:
    """The figures of one milestone. `held_out` is by noise level, in the order of `SIGMAS`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    step: int
    loss: float  # the mean since the checkpoint before
    held_out: tuple[float, ...]

    @property
    def held_out_mean(self) -> float:
        """One number for the curve."""
        return sum(self.held_out) / len(self.held_out)


def folder_of(run: Path, step: int) -> Path:
    """The folder of a checkpoint."""
    return run / CHECKPOINTS / f"{step:06d}"


def write_figures(run: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint.json`; everything else of the checkpoint is there already."""
    write_whole(folder_of(run, checkpoint.step) / _DONE, json.dumps(asdict(checkpoint)) + "\n")


def write_samples(run: Path, step: int, images: Sequence[Image.Image], captions: Sequence[str]) -> None:
    """The sheet of a checkpoint, in one row."""
    path = folder_of(run, step) / SHEET
    path.parent.mkdir(parents=True, exist_ok=True)
    write_sheet(path, images, captions, columns=len(images), side=_SIDE)


def read_checkpoints(run: Path) -> list[Checkpoint]:
    """All checkpoints that are whole, by step.

    Raises:
        RunUnusable: the figures of one can't be read.
    """
    found = []
    for path in sorted((run / CHECKPOINTS).glob(f"*/{_DONE}")):
        try:
            found.append(TypeAdapter(Checkpoint).validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            raise RunUnusable(f"The file {path} can't be read: bring it back, or train anew.") from None
    return sorted(found, key=lambda one: one.step)
