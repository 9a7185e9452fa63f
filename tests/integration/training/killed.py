"""A training in a process of its own that dies at a chosen instant, as by a power cut."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from onbrand.dataset.reader import read_dataset
from onbrand.packs.base import load_base
from onbrand.storage.files import LocalFolder
from onbrand.training import loop
from onbrand.training.train import train
from tests.integration.training.tiny_mini import QUICK

# Each is where the process dies: just before a file gets its name (`rename NAME`), just after (`renamed NAME`), while a
# file of that name is half written (`half NAME`), or in the middle of a step (`step N`).
INSTANTS = (
    "rename 001.png",
    "renamed 003.png",
    "rename run.json",
    "renamed run.json",
    "half cache.safetensors",
    "rename cache.safetensors",
    "renamed cache.safetensors",
    "step 0",
    "step 1",
    "rename lora.safetensors",
    "renamed lora.safetensors",
    "renamed sheet.png",
    "rename checkpoint.json",
    "renamed checkpoint.json",
    "renamed report.html",
    "half step-000000002.safetensors",
    "renamed step-000000002.safetensors",
    "step 3",
    "half step-000000004.safetensors",
    "rename report.html",
    "step 5",
    "rename step-000000006.safetensors",
)


def run_until(instant: str, base: Path, data: Path, folder: Path) -> None:
    """Train, from where the run stands, and die at that instant; the process ends by itself if it never comes."""
    torch.set_num_threads(1)
    kind, what = instant.split(" ", 1)
    if kind == "step":
        _die_in_step(int(what))
    else:
        _die_at_file(kind, what)
    train(load_base(LocalFolder(base)), read_dataset(data), folder, replace(QUICK), is_resumed=True)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_in_step(number: int) -> None:
    generator_of: Callable[[int, int], torch.Generator] = loop.step_generator

    def dying(seed: int, step: int) -> torch.Generator:
        if step == number:
            _die()
        return generator_of(seed, step)

    loop.step_generator = dying


def _die_at_file(kind: str, name: str) -> None:
    rename: Callable[..., None] = os.replace

    def dying(source: Any, target: Any) -> None:
        if Path(target).name != name:
            rename(source, target)
            return
        if kind == "half":
            os.truncate(source, Path(source).stat().st_size // 2)
        if kind == "renamed":
            rename(source, target)
        _die()

    os.replace = dying  # type: ignore[assignment]
