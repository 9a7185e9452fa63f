"""Choose the precision of a model, and where its parts are kept, from the free memory that was measured.

This module only decides; `load.py` does what it decided. All figures are bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from onbrand.errors import NotEnoughMemory
from onbrand.hidream.models import Precision
from onbrand.packs.base import Base

GIB = 1 << 30
# Working memory to draw four pictures at 1024²: 17,920 tokens of width 2560, for which the routed experts need 35,840
# rows of 13,824 numbers, and the decoder for one picture at a time. It is an estimate, not measured: see
# docs/models.md.
_WORK = 8 * GIB
_BLOCKS = 3 * GIB  # two blocks, the running one and the next, of a transformer whose other blocks are in host memory
# The size of stored 16-bit weights at each precision. 8-bit keeps some parts in 16 bit (embeddings, modulation,
# projections): 20.2 of the transformer's 34.2 GB remain (counted).
_SHARE = {Precision.FLOAT32: 2.0, Precision.BFLOAT16: 1.0, Precision.INT8: 0.6}


class Placement(StrEnum):
    """Which parts stay on the device all the time. The other parts stay in host memory between their uses."""

    ALL = "all"
    WITHOUT_ENCODERS = "without_encoders"  # each is moved to the device while it encodes a prompt
    WITHOUT_BLOCKS = "without_blocks"  # and each block of the transformer is moved there at each step


@dataclass(frozen=True)
class Sizes:
    """Bytes of the parts as they are stored, in 16 bit."""

    encoders: int
    largest_encoder: int
    transformer: int
    decoder: int

    @classmethod
    def of(cls, base: Base) -> Sizes:
        """Add up the file sizes in the base's manifest. No file is read."""
        sizes: Counter[str] = Counter()
        for file in base.manifest.files:
            sizes[file.path.split("/")[0]] += file.size
        encoders = [size for part, size in sizes.items() if part.startswith("text_encoder")]
        return cls(sum(encoders), max(encoders, default=0), sizes["transformer"], sizes["vae"])

    def needed(self, precision: Precision, placement: Placement) -> int:
        """Bytes that must be free on the device to load and to draw."""
        share, work = _SHARE[precision], min(_WORK, 40 * (self.transformer + self.decoder))
        transformer, one_encoder = int(share * self.transformer), int(share * self.largest_encoder)
        if placement is Placement.ALL:
            return int(share * self.encoders) + transformer + self.decoder + work
        if placement is Placement.WITHOUT_BLOCKS:
            transformer = min(transformer, _BLOCKS)
        return transformer + self.decoder + max(one_encoder, work)  # an encoder leaves the device before drawing begins


@dataclass(frozen=True)
class Plan:
    """The chosen precision and placement, with the bytes that are needed and that were free."""

    precision: Precision
    placement: Placement
    needed: int
    free: int

    def __str__(self) -> str:
        placement = {
            Placement.ALL: "all of it on the device",
            Placement.WITHOUT_ENCODERS: "text encoders in host memory",
            Placement.WITHOUT_BLOCKS: "text encoders and the transformer's blocks in host memory",
        }[self.placement]
        return f"{self.precision}, {placement}: {self.needed / GIB:.1f} of {self.free / GIB:.1f} GiB"


def plan(sizes: Sizes, free: int, precisions: Sequence[Precision], *, can_offload: bool) -> Plan:
    """Choose the best precision, and then the fastest placement, that fits into `free` bytes.

    `precisions` are ordered, the best first. A better precision with text encoders in host memory is preferred to a
    lower precision with everything on the device: it costs about a second for each prompt that is not in the cache.
    Transformer blocks in host memory cost seconds for each step, so this placement is the last choice.

    Raises:
        NotEnoughMemory: no choice fits.
    """
    placements = (Placement.ALL, Placement.WITHOUT_ENCODERS) if can_offload else (Placement.ALL,)
    choices = [(precision, placement) for precision in precisions for placement in placements]
    if can_offload:
        choices += [(precision, Placement.WITHOUT_BLOCKS) for precision in precisions]
    for precision, placement in choices:
        needed = sizes.needed(precision, placement)
        if needed <= free:
            return Plan(precision, placement, needed, free)
    least = min(sizes.needed(precision, placement) for precision, placement in choices)
    raise NotEnoughMemory(
        f"The model needs {least / GIB:.1f} GiB of memory and {free / GIB:.1f} are free. End what else uses the device,"
        " choose a larger one, or set ONBRAND_PRECISION=int8 if another precision is set."
    )
