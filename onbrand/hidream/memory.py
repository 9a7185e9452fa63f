"""Where a model's parts are kept, and how exactly: chosen by the memory that was measured to be free.

It decides; `load.py` and `illustrator.py` act on it. All figures are bytes.
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
# Working memory for four pictures at 1024²: 17,920 tokens of width 2560, of which the routed experts hold 35,840 rows
# of 13,824 numbers, and one decode at a time. An estimate that was not measured on a GPU: see docs/models.md.
_WORK = 8 * GIB
_BLOCKS = 3 * GIB  # of a transformer whose other blocks wait in host memory: the running one and the next
# What 8-bit leaves in 16 bit: embeddings, modulation, projections. 20.2 of 34.2 GB of the transformer stay (measured).
_SHARE = {Precision.FLOAT32: 2.0, Precision.BFLOAT16: 1.0, Precision.INT8: 0.6}


class Placement(StrEnum):
    """What stays on the device between two drawings; the rest waits in host memory."""

    ALL = "all"
    WITHOUT_ENCODERS = "without_encoders"  # each visits the device when there is a prompt to read
    WITHOUT_BLOCKS = "without_blocks"  # and each block of the transformer visits it at each step


@dataclass(frozen=True)
class Sizes:
    """Bytes of the parts as they are stored, in 16 bit."""

    encoders: int
    largest_encoder: int
    transformer: int
    decoder: int

    @classmethod
    def of(cls, base: Base) -> Sizes:
        """From the manifest alone; nothing is read."""
        sizes: Counter[str] = Counter()
        for file in base.manifest.files:
            sizes[file.path.split("/")[0]] += file.size
        encoders = [size for part, size in sizes.items() if part.startswith("text_encoder")]
        return cls(sum(encoders), max(encoders, default=0), sizes["transformer"], sizes["vae"])

    def needed(self, precision: Precision, placement: Placement) -> int:
        """What the device must have free, drawing included."""
        share, work = _SHARE[precision], min(_WORK, 40 * (self.transformer + self.decoder))
        transformer, visitor = int(share * self.transformer), int(share * self.largest_encoder)
        if placement is Placement.ALL:
            return int(share * self.encoders) + transformer + self.decoder + work
        if placement is Placement.WITHOUT_BLOCKS:
            transformer = min(transformer, _BLOCKS)
        return transformer + self.decoder + max(visitor, work)  # a prompt is read before anything is drawn


@dataclass(frozen=True)
class Plan:
    """What was chosen, and the figures it rests on."""

    precision: Precision
    placement: Placement
    needed: int
    free: int

    def __str__(self) -> str:
        away = {
            Placement.ALL: "all of it on the device",
            Placement.WITHOUT_ENCODERS: "text encoders in host memory",
            Placement.WITHOUT_BLOCKS: "text encoders and the transformer's blocks in host memory",
        }[self.placement]
        return f"{self.precision}, {away}: {self.needed / GIB:.1f} of {self.free / GIB:.1f} GiB"


def plan(sizes: Sizes, free: int, precisions: Sequence[Precision], *, can_offload: bool) -> Plan:
    """The first of `precisions`, the best first, that fits into `free` bytes, with as much on the device as fits.

    A better precision with its encoders away goes before a lesser one that fits whole: reading a prompt takes a second
    longer then, and only the first time it is read. Blocks that visit the device cost seconds a step: they come last.

    Raises:
        NotEnoughMemory: nothing fits.
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
