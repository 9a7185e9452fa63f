"""Parse the header of a `.safetensors` file strictly: the position, shape and type of each tensor.

The format is: 8 bytes with the header's length (little-endian), the header as JSON, then the bytes of the tensors, row
by row and without a gap (https://huggingface.co/docs/safetensors). Everything else is refused, because the header is
used before the file's checksum is known. This module reads no file and makes no tensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from onbrand.storage import strict_json

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000  # the limit in safetensors itself
_MAX_DIMENSIONS = 8
_METADATA = "__metadata__"
DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "BOOL": torch.bool,
        "U8": torch.uint8,
        "I8": torch.int8,
        "F8_E4M3": torch.float8_e4m3fn,
        "F8_E5M2": torch.float8_e5m2,
        "I16": torch.int16,
        "U16": torch.uint16,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "I32": torch.int32,
        "U32": torch.uint32,
        "F32": torch.float32,
        "I64": torch.int64,
        "U64": torch.uint64,
        "F64": torch.float64,
        "C64": torch.complex64,
    }
)


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a file. Its `size` bytes follow those of the tensor before it."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    size: int


class FormatError(ValueError):
    """A file does not follow the format. The message is the second half of a sentence that names the file."""


def header_length(first: bytes, file_size: int) -> int:
    """The header's length in bytes, from the first eight bytes of the file and the file's size.

    Raises:
        FormatError: a header of this length does not fit into the file.
    """
    length = int.from_bytes(first, "little")
    if len(first) < LENGTH_BYTES or not 2 <= length <= min(MAX_HEADER_BYTES, file_size - LENGTH_BYTES):
        raise FormatError("its header's length is wrong")
    return length


def tensor_entries(header: bytes, data_size: int) -> tuple[TensorEntry, ...]:
    """The tensors of a file, in the order of their bytes. Together they must have exactly `data_size` bytes.

    Raises:
        FormatError: the header does not follow the format.
    """
    try:
        document = strict_json.loads(header.decode("utf-8"))
    except (ValueError, RecursionError):
        raise FormatError("its header is not JSON") from None
    if not (isinstance(document, dict) and header.startswith(b"{")):
        raise FormatError("its header is not a JSON object")
    metadata = document.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FormatError("its header has metadata that is not text")
    # An empty tensor may begin at the same byte as another tensor; it is sorted before that one.
    found = sorted((_range(entry), name, entry) for name, entry in document.items())
    end = 0
    for (begins, ends), _, _ in found:
        if begins != end:
            raise FormatError("its tensors overlap or leave a gap")
        end = ends
    if end != data_size:
        raise FormatError("its tensors do not end at the end of the file")
    return tuple(_tensor_entry(name, entry, ends - begins) for (begins, ends), name, entry in found)


def _range(entry: object) -> tuple[int, int]:
    match entry:
        case {"dtype": str(), "shape": list(), "data_offsets": [begins, ends], **others} if not others:
            if _is_count(begins) and _is_count(ends) and begins <= ends:
                return begins, ends
    raise FormatError("a tensor's entry in its header is wrong")


def _tensor_entry(name: str, entry: dict[str, Any], size: int) -> TensorEntry:
    dtype, shape = DTYPES.get(entry["dtype"]), entry["shape"]
    if dtype is None:
        raise FormatError("a tensor has an unknown type")
    if len(shape) > _MAX_DIMENSIONS or not all(_is_count(length) for length in shape):
        raise FormatError("a tensor's shape is wrong")
    # torch computes the strides of an empty tensor too, from the lengths that are not 0.
    if math.prod(shape) * dtype.itemsize != size or math.prod(max(1, length) for length in shape) >= 2**60:
        raise FormatError("a tensor's shape does not fit its size")
    return TensorEntry(name, dtype, tuple(shape), size)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
