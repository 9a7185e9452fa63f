"""Parse the header of a `.safetensors` file strictly: the position, shape and type of each tensor.

The format is: 8 bytes with the header's length (little-endian), the header as JSON, then the bytes of the tensors, row
by row and without a gap (https://huggingface.co/docs/safetensors). Everything else is refused, because the header is
used before the file's checksum is known. This module makes no tensor and needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from onbrand.storage import strict_json
from onbrand.storage.files import ByteReader

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000  # the limit in safetensors itself
_MAX_DIMENSIONS = 8
_METADATA = "__metadata__"
_STEP = 1024**2
ITEM_BYTES: Mapping[str, int] = MappingProxyType(
    {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2}
    | {"I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8}
)


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a file. Its `size` bytes follow those of the tensor before it."""

    name: str
    dtype: str  # a key of `ITEM_BYTES`
    shape: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class Header:
    """What the header says: the tensors in the order of their bytes, and texts about the file."""

    entries: tuple[TensorEntry, ...]
    metadata: Mapping[str, str]


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


def read_header(reader: ByteReader, file_size: int) -> Header:
    """Read the header at the beginning of a file. The next `readinto` gives the first tensor's bytes.

    Raises:
        FormatError: the file does not follow the format. Also what `ByteReader.readinto` raises.
    """
    length = header_length(_taken(reader, LENGTH_BYTES), file_size)
    return parse_header(_taken(reader, length), file_size - LENGTH_BYTES - length)


def _taken(reader: ByteReader, size: int) -> bytes:
    # In parts, so that a false length cannot take more memory than the file has bytes.
    taken = bytearray()
    while len(taken) < size:
        part = memoryview(bytearray(min(_STEP, size - len(taken))))
        count = reader.readinto(part)
        taken += part[:count]
        if count < len(part):
            raise FormatError("it ends too early")
    return bytes(taken)


def tensor_entries(header: bytes, data_size: int) -> tuple[TensorEntry, ...]:
    """The tensors of a file, in the order of their bytes; errors as for `parse_header`."""
    return parse_header(header, data_size).entries


def parse_header(header: bytes, data_size: int) -> Header:
    """Parse a header. Its tensors together must have exactly `data_size` bytes.

    Raises:
        FormatError: the header does not follow the format.
    """
    try:
        document = strict_json.loads(header.decode("utf-8"))
    except strict_json.Ambiguous as error:
        raise FormatError(f"its header is ambiguous: {error}") from None
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
    return Header(tuple(_tensor_entry(name, entry, ends - begins) for (begins, ends), name, entry in found), metadata)


def _range(entry: object) -> tuple[int, int]:
    match entry:
        case {"dtype": str(), "shape": list(), "data_offsets": [begins, ends], **others} if not others:
            if _is_count(begins) and _is_count(ends) and begins <= ends:
                return begins, ends
    raise FormatError("a tensor's entry in its header is wrong")


def _tensor_entry(name: str, entry: dict[str, Any], size: int) -> TensorEntry:
    dtype, shape = entry["dtype"], entry["shape"]
    if dtype not in ITEM_BYTES:
        raise FormatError("a tensor has an unknown type")
    if len(shape) > _MAX_DIMENSIONS or not all(_is_count(length) for length in shape):
        raise FormatError("a tensor's shape is wrong")
    # torch computes the strides of an empty tensor too, from the lengths that are not 0.
    if math.prod(shape) * ITEM_BYTES[dtype] != size or math.prod(max(1, length) for length in shape) >= 2**60:
        raise FormatError("a tensor's shape does not fit its size")
    return TensorEntry(name, dtype, tuple(shape), size)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
