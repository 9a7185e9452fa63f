"""Checkpoints that are there whole or not at all, so that a run can be killed at any instant and goes on.

A checkpoint is a safetensors file: tensors, and the plain values around them as JSON in its header. Nothing in it can
run, and the same state gives the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from onbrand.training.whole_files import put_whole

_NAME = "step-{step:09d}.safetensors"
_STATE = "state"  # the header's entry with everything that isn't a tensor


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], keep: int = 2) -> Path:
    """Write the state after `step` steps and remove all but the newest `keep` checkpoints.

    Raises:
        OSError: it can't be written; the checkpoints before are still there.
    """
    path = folder / _NAME.format(step=step)
    save_state(path, state)
    for old in checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state whole or not at all: dicts, lists, tuples, tensors, numbers, texts, truth values and None.

    Raises:
        OSError: it can't be written; what was there still is.
    """
    tensors: dict[str, Tensor] = {}
    document = _taken_apart(state, "", tensors)

    def write(partly: Path) -> None:
        try:
            save_file(tensors, partly, metadata={_STATE: json.dumps(document)})
        except SafetensorError as error:  # it wraps what the operating system said
            raise OSError(str(error)) from error

    put_whole(path, write)


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest last."""
    return sorted(folder.glob("step-*.safetensors"))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's state, in memory."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - it can't be iterated
        document = json.loads(file.metadata()[_STATE])
    state: dict[str, Any] = _put_together(document, tensors)
    return state


def load_newest(folder: Path) -> dict[str, Any] | None:
    """The state of the newest checkpoint, or None where there is none."""
    found = checkpoints(folder)
    return load_checkpoint(found[-1]) if found else None


def _taken_apart(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON; each tensor goes into `tensors` under its place, and {"tensor": place} stands for it."""
    if isinstance(value, Tensor):
        # A copy: safetensors refuses tensors that share memory, as a network's and its checkpoint's do.
        tensors[place] = value.detach().clone().contiguous()
        return {"tensor": place}
    if isinstance(value, dict):
        items = [[key, _taken_apart(one, f"{place}/{key}", tensors)] for key, one in value.items()]
        return {"dict": items}  # pairs: keys of optimisers' states are numbers
    if isinstance(value, list | tuple):
        items = [_taken_apart(one, f"{place}/{index}", tensors) for index, one in enumerate(value)]
        return {type(value).__name__: items}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint can't hold {type(value).__name__} ({place})")


def _put_together(document: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(document, dict):
        return document
    ((kind, content),) = document.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _put_together(one, tensors) for key, one in content}
    items = [_put_together(one, tensors) for one in content]
    return tuple(items) if kind == "tuple" else items
