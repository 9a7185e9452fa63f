"""The table of image models that Onbrand can load, as plain data. This file does not import torch.

A row has everything in which a model differs from the others; no other code compares a model's name. The width and
depth of a network are in its own `config.json`, beside its weights. The choices of a brand (LoRA, steps, shift) are in
its pack; the values in a row are the defaults for a new pack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal


class Precision(StrEnum):
    """The type of a network's matrices in memory. With `INT8`, products are still computed in bfloat16."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"

    @property
    def bytes_each(self) -> int:
        """Bytes of one number of a matrix."""
        return {Precision.FLOAT32: 4, Precision.BFLOAT16: 2, Precision.INT8: 1}[self]


@dataclass(frozen=True)
class Component:
    """One part of a model: a folder with a configuration and weights."""

    class_name: str  # in diffusers, transformers or, for the mini model's decoder, here
    parameters: int
    repository: str  # where the weights come from; "" if we trained them
    licence: str  # SPDX, or the licence's own name


@dataclass(frozen=True)
class Scheduler:
    """A scheduler of diffusers: its class, the name of its argument for the pack's `shift`, and its other settings."""

    class_name: Literal["FlowMatchEulerDiscreteScheduler", "FlowMatchLCMScheduler", "UniPCMultistepScheduler"]
    shift_argument: Literal["shift", "flow_shift"] = "shift"
    settings: Mapping[str, str | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class LoraTraining:
    """Where a brand's LoRA goes, and how it is trained unless somebody says otherwise (`onbrand train`)."""

    targets: str  # a pattern of the names of all modules that are adapted
    learning_rate: float
    batch: int  # pictures of one step
    at_once: int  # of them in one pass; the gradients of the passes are added up
    steps_per_picture: int
    least_steps: int
    most_steps: int
    checkpoint_every: int  # steps
    warmup: int  # steps
    time_shift: float  # above 1: more of the training at high noise; as a scheduler's shift
    average_window: float  # steps that count for the weights that are drawn with


@dataclass(frozen=True)
class Model:
    """One model. `text` and `decoder` name the families of text encoders and decoders that `load.py` knows."""

    title: str
    components: Mapping[str, Component]  # by folder
    text: Literal["minilm", "hidream"]
    decoder: Literal["pca", "kl"]
    scheduler: Scheduler
    steps: int
    guidance_scale: float  # above 1: a second, unconditional pass at each step
    shift: float
    prompt_token_limit: int  # for each text encoder, including the brand's suffix and special tokens
    text_slots: int  # text positions per encoder with which the transformer was trained
    precisions: tuple[Precision, ...]  # the best first
    training: LoraTraining | None  # None: a distilled model; training it undoes the distillation


_ALL = (Precision.BFLOAT16, Precision.INT8, Precision.FLOAT32)
_LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


# Attention of both streams, the text's feed-forward and the shared experts: 448 modules. Routed experts are 60 % of the
# weights and see only some tokens each; routers decide which (notes of ai-toolkit, SimpleTuner and diffusion-pipe).
# Steps: 30 for each illustration. Rates and time shift: what the published recipes for HiDream-I1-Full agree on.
_I1_TRAINING = LoraTraining(
    targets=r".*_blocks\.\d+\.block\.(attn1\.to_(q|k|v|out)(_t)?|(ff_t|ff_i\.shared_experts)\.w[123])",
    learning_rate=1e-4,
    batch=4,
    at_once=1,
    steps_per_picture=30,
    least_steps=800,
    most_steps=2000,
    checkpoint_every=100,
    warmup=50,
    time_shift=3.0,
    average_window=100,
)
# The text's own attention stays as it is: the mini has only 19 positions of text. 55 modules.
MINI_TRAINING = LoraTraining(
    targets=r".*_blocks\.\d+\.block\.(attn1\.to_(q|k|v|out)|ff_[it]\.w[123])",
    learning_rate=1e-3,
    batch=8,
    at_once=8,
    steps_per_picture=12,
    least_steps=320,
    most_steps=600,
    checkpoint_every=80,
    warmup=20,
    time_shift=1.5,
    average_window=50,
)


def _hidream_i1(
    variant: str,
    scheduler: Scheduler,
    steps: int,
    guidance_scale: float,
    shift: float,
    training: LoraTraining | None = None,
) -> Model:
    # The parameters were counted on the meta device (docs/models.md). The repositories are those of the model cards.
    repository = f"HiDream-ai/HiDream-I1-{variant}"
    return Model(
        title=f"HiDream-I1 {variant}",
        components=MappingProxyType(
            {
                "text_encoder": Component("CLIPTextModelWithProjection", 123_781_632, repository, "MIT"),
                "text_encoder_2": Component("CLIPTextModelWithProjection", 694_878_720, repository, "MIT"),
                "text_encoder_3": Component("T5EncoderModel", 4_762_310_656, repository, "Apache-2.0"),
                "text_encoder_4": Component("LlamaModel", 7_504_924_672, _LLAMA, "Llama 3.1 Community License"),
                "transformer": Component("HiDreamImageTransformer2DModel", 17_105_733_184, repository, "MIT"),
                "vae": Component("AutoencoderKL", 83_819_683, repository, "Apache-2.0"),
            }
        ),
        text="hidream",
        decoder="kl",
        scheduler=scheduler,
        steps=steps,
        guidance_scale=guidance_scale,
        shift=shift,
        prompt_token_limit=128,
        text_slots=128,
        precisions=_ALL,
        training=training,
    )


# Steps, guidance and shift are from inference.py of HiDream-ai/HiDream-I1. Its FlashFlowMatchEuler adds new noise at
# each step; diffusers' FlowMatchLCMScheduler does the same.
_FLASH = Scheduler("FlowMatchLCMScheduler")
_UNIPC = Scheduler(
    "UniPCMultistepScheduler", "flow_shift", {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
)

MODELS: Mapping[str, Model] = MappingProxyType(
    {
        # Our own small model. It uses MiniLM instead of the four text encoders: models/mini/README.md.
        "mini": Model(
            title="Mini HiDream",
            components=MappingProxyType(
                {
                    "text_encoder": Component(
                        "BertModel", 22_713_216, "sentence-transformers/all-MiniLM-L6-v2", "Apache-2.0"
                    ),
                    "transformer": Component("HiDreamImageTransformer2DModel", 12_481_344, "", "MIT"),
                    "vae": Component("PcaVae", 3_092_752, "", "MIT"),
                }
            ),
            text="minilm",
            decoder="pca",
            scheduler=Scheduler("FlowMatchEulerDiscreteScheduler"),
            steps=12,
            guidance_scale=3.5,
            shift=1.0,
            prompt_token_limit=128,
            text_slots=18,
            precisions=(Precision.FLOAT32,),
            training=MINI_TRAINING,
        ),
        "hidream-i1-fast": _hidream_i1("Fast", _FLASH, steps=16, guidance_scale=0.0, shift=3.0),
        "hidream-i1-dev": _hidream_i1("Dev", _FLASH, steps=28, guidance_scale=0.0, shift=6.0),
        "hidream-i1-full": _hidream_i1("Full", _UNIPC, 50, guidance_scale=5.0, shift=3.0, training=_I1_TRAINING),
    }
)
