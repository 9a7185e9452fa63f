"""What `onbrand bench` compares: the illustrator in each of its forms, and diffusers' pipeline beside it.

An engine is loaded by the very function that the product, or diffusers, loads with, and then draws. Measuring is
`bench`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

import torch
from torch import Tensor

from onbrand.config import PrecisionChoice
from onbrand.hidream.benchmark import roofline
from onbrand.hidream.benchmark.diffusers_baseline import DiffusersBaseline, load_baseline
from onbrand.hidream.load import Stage, load_pipeline
from onbrand.hidream.models import Model, Precision
from onbrand.hidream.network.moe import RoutedExperts
from onbrand.hidream.network.transformer import compile_blocks
from onbrand.hidream.pipeline import Pipeline
from onbrand.jobs.models import IMAGE_SIZE, Phase, Progress
from onbrand.packs.base import Base
from onbrand.packs.manifest import BrandPack
from onbrand.storage.files import Folder

OnStep = Callable[[int], None]


class Variant(StrEnum):
    """Another way to compute the same, so that the choice between them rests on figures."""

    COMPILED = "compiled"  # each block by torch.compile
    LOOP = "loop"  # the routed experts one after the other, as in diffusers


class Engine(Protocol):
    """A loaded model."""

    def draw(self, prompt: str, seeds: Sequence[int], on_step: OnStep) -> object:
        """One picture for each seed. `on_step(k)` comes after step k, and with 0 before the first."""
        ...

    def read(self, prompt: str) -> None:
        """Turn a prompt into embeddings."""
        ...


@dataclass(frozen=True)
class Ours:
    """The illustrator as a worker has it."""

    illustrator: Pipeline

    def draw(self, prompt: str, seeds: Sequence[int], on_step: OnStep) -> None:
        """As in `Engine`, previews included."""

        def report(progress: Progress) -> None:
            if progress.phase is Phase.DRAWING:
                on_step(progress.step)

        self.illustrator.draw(prompt, seeds, report, lambda: False)

    def read(self, prompt: str) -> None:
        """As in `Engine`; from memory, if it was read before."""
        self.illustrator.encode(prompt)

    def work(self, prompt: str, images: int) -> Work:
        """What it must compute for so many pictures of a new prompt."""
        illustrator, manifest = self.illustrator, self.illustrator.manifest
        embeddings = illustrator.encode(prompt).embeddings
        config, decoder = illustrator.transformer.config, illustrator.decoder
        size = IMAGE_SIZE // decoder.scale_factor
        latents = torch.zeros(1, config.in_channels, size, size, device=illustrator.transformer.device)
        passes = 2 if manifest.guidance_scale > 1 else 1
        with torch.inference_mode():
            return Work(
                steps=manifest.steps,
                step=roofline.flops_of_step(config, images * passes, size, embeddings),
                reading=roofline.flops(lambda: illustrator.text_encoder.encode(prompt, manifest.prompt_suffix)),
                decoding=images * roofline.flops(lambda: decoder.decode(latents)),
            )


@dataclass(frozen=True)
class Work:
    """Additions and multiplications of a drawing; `step` is one of `steps`."""

    steps: int
    step: int
    reading: int
    decoding: int

    @property
    def total(self) -> int:
        """Of all of it."""
        return self.reading + self.steps * self.step + self.decoding


@dataclass(frozen=True)
class Candidate:
    """What is to be measured. `precision` is None for diffusers' pipeline."""

    precision: Precision | None
    variant: Variant | None = None

    @property
    def name(self) -> str:
        """As the table has it."""
        if self.precision is None:
            return "stock diffusers"
        return f"ours, {self.precision}" + (f", {self.variant}" if self.variant else "")

    def load(
        self,
        base: Base,
        pack: BrandPack,
        artefacts: Folder | None,
        device: torch.device,
        on_stage: Callable[[Stage], None],
    ) -> DiffusersBaseline | Ours:
        """Arguments and errors as for `load_baseline` and `load_pipeline`."""
        if self.precision is None:
            return load_baseline(base, pack.manifest, device, on_stage)
        choice = PrecisionChoice(self.precision.value)
        illustrator = load_pipeline(base, pack, precision=choice, artefacts=artefacts, on_stage=on_stage)
        if self.variant is Variant.COMPILED:
            compile_blocks(illustrator.transformer)
        if self.variant is Variant.LOOP:
            _loop(illustrator.transformer)
        return Ours(illustrator)


def candidates(model: Model, precisions: Sequence[Precision], variants: Sequence[Variant]) -> list[Candidate]:
    """diffusers' pipeline, then ours at each precision, plain and in each variant.

    Where no precision is named, at those that suit the device: bfloat16 on a GPU, float32 on a CPU, and 8 bit.
    """
    if not precisions:
        usual = Precision.BFLOAT16 if torch.cuda.is_available() else Precision.FLOAT32
        precisions = [precision for precision in (usual, Precision.INT8) if precision in model.precisions]
    return [Candidate(None), *(Candidate(precision, form) for precision in precisions for form in (None, *variants))]


def with_steps(pack: BrandPack, steps: int | None) -> BrandPack:
    """The pack, drawing in so many steps."""
    return pack if steps is None else replace(pack, manifest=replace(pack.manifest, steps=steps))


def _loop(transformer: Any) -> None:
    for module in transformer.modules():
        if isinstance(module, RoutedExperts):
            module.product = _one_by_one  # type: ignore[assignment]


def _one_by_one(rows: Tensor, matrices: Tensor, *, offs: Tensor) -> Tensor:
    """`F.grouped_mm`, for which the host must know how many rows each matrix gets."""
    ends = offs.tolist()
    parts = [rows[begin:end] @ matrix for begin, end, matrix in zip([0, *ends], ends, matrices, strict=False)]
    return torch.cat(parts)
