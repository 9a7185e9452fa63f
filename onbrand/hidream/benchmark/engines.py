"""The engines that `onbrand bench` compares: our pipeline in several variants, and diffusers' pipeline.

An engine is loaded by the same function as in the product, or in diffusers. `measure.py` measures it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
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
    """Another way to compute the same result, to measure whether it is faster."""

    COMPILED = "compiled"  # each block compiled by torch.compile
    LOOP = "loop"  # the routed experts computed one after the other, as in diffusers


class Engine(Protocol):
    """A loaded model."""

    def draw(self, prompt: str, seeds: Sequence[int], on_step: OnStep) -> object:
        """Draw one picture for each seed. `on_step(k)` is called after step k, and with 0 before the first step."""
        ...

    def encode(self, prompt: str) -> None:
        """Encode a prompt."""
        ...


@dataclass(frozen=True)
class OnbrandEngine:
    """Our pipeline, as a worker uses it."""

    pipeline: Pipeline

    def draw(self, prompt: str, seeds: Sequence[int], on_step: OnStep) -> None:
        """See `Engine`. The previews are made too."""

        def report(progress: Progress) -> None:
            if progress.phase is Phase.DRAWING:
                on_step(progress.step)

        self.pipeline.draw(prompt, seeds, report, lambda: False)

    def encode(self, prompt: str) -> None:
        """See `Engine`. A prompt that was encoded before comes from the cache."""
        self.pipeline.encode(prompt)

    def work(self, prompt: str, images: int) -> FlopCounts:
        """Count the operations for so many pictures of a new prompt."""
        pipeline, manifest = self.pipeline, self.pipeline.manifest
        embeddings = pipeline.encode(prompt).embeddings
        config, decoder = pipeline.transformer.config, pipeline.decoder
        size = IMAGE_SIZE // decoder.scale_factor
        latents = torch.zeros(1, config.in_channels, size, size, device=pipeline.transformer.device)
        passes = [1 + is_guided for is_guided in pipeline.guided_steps()]
        step = {
            count: roofline.flops_of_step(asdict(config), images * count, size, embeddings) for count in set(passes)
        }
        with torch.inference_mode():
            return FlopCounts(
                steps=manifest.steps,
                step=sum(step[count] for count in passes) // len(passes),
                reading=roofline.flops(lambda: pipeline.text_encoder.encode(prompt, manifest.prompt_suffix)),
                decoding=images * roofline.flops(lambda: decoder.decode(latents)),
            )


@dataclass(frozen=True)
class FlopCounts:
    """Floating-point operations of one call. `step` is the mean count of the `steps`."""

    steps: int
    step: int
    reading: int
    decoding: int

    @property
    def total(self) -> int:
        """All operations of the call."""
        return self.reading + self.steps * self.step + self.decoding


@dataclass(frozen=True)
class Candidate:
    """An engine to be measured. `precision` is None for diffusers' pipeline."""

    precision: Precision | None
    variant: Variant | None = None

    @property
    def name(self) -> str:
        """The name in the table."""
        if self.precision is None:
            return "diffusers baseline"
        return f"ours, {self.precision}" + (f", {self.variant}" if self.variant else "")

    def load(
        self,
        base: Base,
        pack: BrandPack,
        prepared_folder: Folder | None,
        device: torch.device,
        on_stage: Callable[[Stage], None],
    ) -> DiffusersBaseline | OnbrandEngine:
        """Load the engine. Arguments and errors as for `load_baseline` and `load_pipeline`."""
        if self.precision is None:
            return load_baseline(base, pack.manifest, device, on_stage)
        choice = PrecisionChoice(self.precision.value)
        pipeline = load_pipeline(base, pack, precision=choice, prepared_folder=prepared_folder, on_stage=on_stage)
        if self.variant is Variant.COMPILED:
            compile_blocks(pipeline.transformer)
        if self.variant is Variant.LOOP:
            _use_loop(pipeline.transformer)
        return OnbrandEngine(pipeline)


def candidates(model: Model, precisions: Sequence[Precision], variants: Sequence[Variant]) -> list[Candidate]:
    """diffusers' pipeline, then ours at each precision, each without a variant and in each variant.

    If `precisions` is empty, they are bfloat16 on a GPU or float32 on a CPU, and int8, as far as the model supports
    them.
    """
    if not precisions:
        usual = Precision.BFLOAT16 if torch.cuda.is_available() else Precision.FLOAT32
        precisions = [precision for precision in (usual, Precision.INT8) if precision in model.precisions]
    return [Candidate(None), *(Candidate(precision, form) for precision in precisions for form in (None, *variants))]


def with_steps(pack: BrandPack, steps: int | None) -> BrandPack:
    """The pack with another number of steps; None: unchanged."""
    return pack if steps is None else replace(pack, manifest=replace(pack.manifest, steps=steps))


def _use_loop(transformer: Any) -> None:
    for module in transformer.modules():
        if isinstance(module, RoutedExperts):
            module.grouped_mm = _looped_mm  # type: ignore[assignment]


def _looped_mm(rows: Tensor, matrices: Tensor, *, offs: Tensor) -> Tensor:
    """Compute `F.grouped_mm` with one product for each matrix. The host has to read the offsets from the device."""
    ends = offs.tolist()
    parts = [rows[begin:end] @ matrix for begin, end, matrix in zip([0, *ends], ends, matrices, strict=False)]
    return torch.cat(parts)
