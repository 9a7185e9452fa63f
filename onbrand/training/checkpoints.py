"""Checkpoints that are there whole or not at all, so that a run can be killed at any instant and goes on."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import torch

_NAME = "step-{step:09d}.pt"


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], keep: int = 2) -> Path:
    """Write the state after `step` steps and remove all but the newest `keep` checkpoints.

    The file is written under another name, forced to the disk and then renamed, which on one file system either happens
    or doesn't.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _NAME.format(step=step)
    partly = path.with_suffix(".partial")
    with partly.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partly, path)
    _sync_folder(folder)
    for old in checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest last."""
    return sorted(folder.glob("step-*.pt"))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's state. Only tensors and plain values are read, never code."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def load_newest(folder: Path) -> dict[str, Any] | None:
    """The state of the newest checkpoint, or None where there is none."""
    found = checkpoints(folder)
    return load_checkpoint(found[-1]) if found else None


def _sync_folder(folder: Path) -> None:
    """Force the folder's list of files to the disk, where the system can (Windows can't open a folder)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
