"""Small safetensors files for tests, also with wrong headers, and reading them as a stream."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from onbrand.hidream.weights.stream import stream_tensors
from onbrand.storage.files import LocalFolder, ManifestFile

SMALL = save({"a": torch.arange(12, dtype=torch.int16).reshape(3, 4), "b": torch.tensor(True)}, {"format": "pt"})


def described(path: Path) -> ManifestFile:
    content = path.read_bytes()
    return ManifestFile(path.name, len(content), hashlib.sha256(content).hexdigest())


def written(directory: Path, content: bytes, name: str = "model.safetensors") -> ManifestFile:
    (directory / name).write_bytes(content)
    return described(directory / name)


def streamed(directory: Path, *files: ManifestFile) -> dict[str, Tensor]:
    found = list(stream_tensors(LocalFolder(directory), files))
    assert len(dict(found)) == len(found)
    return dict(found)


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    """Whether all tensors have the same type, shape and bits."""

    def plain(weights: dict[str, Tensor]) -> dict[str, Any]:
        return {
            name: (one.dtype, one.shape, one.contiguous().reshape(-1).view(torch.uint8).tolist())
            for name, one in weights.items()
        }

    return plain(found) == plain(expected)


def with_header(header: object, data: bytes = bytes(8)) -> bytes:
    """The bytes of a file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(begins: Any = 0, ends: Any = 8, dtype: Any = "F32", shape: Any = (2,), **others: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begins, ends], **others}


def reading_threads() -> list[threading.Thread]:
    """The threads of all streams."""
    return [thread for thread in threading.enumerate() if thread.name == "weights"]
