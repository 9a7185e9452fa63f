"""Whether a training fits into the memory, and how, before anything large is loaded. All figures are bytes.

The weights are counted exactly, on a network without memory. The work of a step is an estimate from the shapes; it was
not measured on a GPU (docs/train.md). `hidream.memory` does the same for drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from onbrand.errors import NotEnoughMemory
from onbrand.hidream.memory import GIB, Sizes
from onbrand.hidream.models import LoraTraining, Precision
from onbrand.hidream.network.int8 import Int8Linear, quantize_linears
from onbrand.hidream.network.moe import RoutedExperts
from onbrand.hidream.network.transformer import empty_transformer
from onbrand.training.lora import target_modules

_LORA_BYTES = 24  # of each number: itself, gradient, Adam's two, average, and a copy while the average is drawn with
_MARGIN = 1.5  # of the work of a block: sums of gradients, what the allocator leaves over
_PICTURE_WORK = 3 * GIB  # of an AutoencoderKL, for 1024² pixels
_TEXT_WORK = GIB // 2


@dataclass(frozen=True)
class Shape:
    """What the work of a step depends on."""

    side: int  # pixels
    scale_factor: int  # pixels per latent
    text_tokens: int
    at_once: int
    rank: int


@dataclass(frozen=True)
class TrainingPlan:
    """The chosen precision of the base, with the bytes that each stage needs and that were free."""

    precision: Precision
    are_encoders_resident: bool
    stages: Mapping[str, int]
    free: int

    @property
    def needed(self) -> int:
        """The most that is needed at any time."""
        return max(self.stages.values())

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {size / GIB:.1f}" for name, size in self.stages.items())
        return f"base in {self.precision}; GiB for {stages}"


def trainable_transformer(config: Mapping[str, Any], precision: Precision) -> Any:
    """The transformer on the meta device, as it is trained on.

    At 8 bit the blocks' modulation is 8-bit too, 15 % of HiDream-I1's parameters, which drawing leaves in 16 bit:
    without it a card of 24 GB is too small.
    """
    transformer = empty_transformer(config, precision)
    if precision is Precision.INT8:
        quantize_linears(transformer, is_excluded=lambda name: not ("_blocks." in name and "adaLN_modulation" in name))
    return transformer


def plan_training(
    config: Mapping[str, Any],
    sizes: Sizes,
    row: LoraTraining,
    shape: Shape,
    precisions: Sequence[Precision],
    free: int,
    *,
    is_gpu: bool,
) -> TrainingPlan:
    """The first of the precisions that fits into `free` bytes. Raises NotEnoughMemory: none does."""
    plans = [_plan(config, sizes, row, shape, precision, free, is_gpu=is_gpu) for precision in precisions]
    for plan in plans:
        if plan.needed <= free:
            return plan
    least = min(plans, key=lambda plan: plan.needed)
    where, remedy = "the GPU's memory", "use a GPU with more memory"
    if not is_gpu:
        where, remedy = "memory", "use a machine with more memory"
    raise NotEnoughMemory(
        f"Training needs {least.needed / GIB:.1f} GiB of {where} and {free / GIB:.1f} are free: end what else uses it,"
        f" or {remedy}."
    )


def _plan(
    config: Mapping[str, Any],
    sizes: Sizes,
    row: LoraTraining,
    shape: Shape,
    precision: Precision,
    free: int,
    *,
    is_gpu: bool,
) -> TrainingPlan:
    transformer = trainable_transformer(config, precision)
    share = 2.0 if precision is Precision.FLOAT32 else 1.0  # encoders are never 8-bit here: they run once
    all_encoders = int(share * sizes.encoders) + _TEXT_WORK
    are_resident = not is_gpu or all_encoders <= free
    picture_work = _PICTURE_WORK * shape.side**2 // 1024**2 if sizes.decoder > GIB // 10 else 0
    step = _step_work(transformer, shape, is_checkpointed=is_gpu)
    stages = {
        "illustrations": 2 * sizes.decoder + picture_work,
        "captions": all_encoders if are_resident else int(share * sizes.largest_encoder) + _TEXT_WORK,
        "training": _weights(transformer)
        + _lora(transformer, row, shape.rank)
        + sizes.decoder
        + max(step, picture_work),  # sheets are drawn between two steps
    }
    return TrainingPlan(precision, are_resident, stages, free)


def _weights(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def _lora(transformer: nn.Module, row: LoraTraining, rank: int) -> int:
    layers: list[Any] = [transformer.get_submodule(name) for name in target_modules(transformer, row.targets)]
    numbers: int = rank * sum(layer.in_features + layer.out_features for layer in layers)
    return _LORA_BYTES * numbers


def _step_work(transformer: Any, shape: Shape, *, is_checkpointed: bool) -> int:
    """What a pass and its way back keep: with gradient checkpoints each block's input, and all of one block."""
    config = transformer.config
    text = shape.at_once * shape.text_tokens
    tokens = shape.at_once * (shape.side // shape.scale_factor // config.patch_size) ** 2 + text
    width = config.num_attention_heads * config.attention_head_dim
    number = 4 if next(transformer.x_embedder.parameters()).dtype == torch.float32 else 2  # bytes
    blocks = [*transformer.double_stream_blocks, *transformer.single_stream_blocks]
    works = [_block_work(block, tokens, text, number) for block in blocks]
    inputs = int(len(blocks) * tokens * width * number)
    return inputs + (max(works) if is_checkpointed else sum(works))


def _block_work(block: nn.Module, tokens: int, text: int, number: int) -> int:
    """Inputs (once more in float32, for the LoRA) and outputs of each layer, and 8-bit matrices as they are used."""
    values = matrices = 0
    for name, module in block.named_modules():
        if isinstance(module, RoutedExperts):
            w13, w2 = module.get_parameter("w13"), module.get_parameter("w2")
            values += tokens * module.active * (4 * module.hidden + 2 * w2.shape[1]) * number
            if w2.dtype == torch.int8:
                matrices += (w13.numel() + w2.numel()) * number
        elif isinstance(module, nn.Linear | Int8Linear):
            if "adaLN" not in name:  # modulation has one row a picture
                rows = text if name.endswith("_t") or ".ff_t." in f".{name}" else tokens
                values += rows * (module.in_features * (number + 4) + module.out_features * number)
            if isinstance(module, Int8Linear):
                matrices += module.in_features * module.out_features * number
    return int(_MARGIN * values) + matrices
