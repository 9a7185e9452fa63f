"""From a brand pack on disk to an `Illustrator` in memory: verified, strict, and without any network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, HiDreamImagePipeline, HiDreamImageTransformer2DModel
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers import BertModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from onbrand.errors import WeightsDamaged
from onbrand.hidream.encode import TextEncoder
from onbrand.hidream.illustrator import Illustrator
from onbrand.hidream.lora import apply_lora
from onbrand.hidream.models import MODELS, Model
from onbrand.hidream.vae import linear_part, load_vae
from onbrand.job import IMAGE_SIZE, Phase, Progress
from onbrand.packs import BrandPack

_STAGES = 4


def load_illustrator(pack: BrandPack, on_progress: Callable[[Progress], None] = lambda _: None) -> Illustrator:
    """Verify the pack's files and load the model with its LoRA; `on_progress` hears of four stages.

    Raises:
        WeightsMissing: a file is not there.
        WeightsDamaged: a file differs from the manifest, or its tensors are not the ones expected.
    """
    manifest = pack.manifest
    model = MODELS.get(manifest.base_model)
    if model is None:
        raise WeightsDamaged(f"The brand pack needs a model this version cannot load; it has {', '.join(MODELS)}.")
    diffusers_logging.disable_progress_bar()  # of loading weights: the log has our own stages
    transformers_logging.disable_progress_bar()

    def loaded(stage: int) -> None:
        on_progress(Progress(Phase.LOADING_MODEL, stage, _STAGES))

    loaded(0)
    pack.verify()
    loaded(1)
    try:
        text_encoder = _load_text_encoder(pack, model)
        loaded(2)
        vae = load_vae(pack.path("vae"))
        pipeline = _load_pipeline(pack, model)
        loaded(3)
        apply_lora(pipeline, pack.path(manifest.lora.file), manifest.lora)
    except (RuntimeError, OSError, ValueError, KeyError, SafetensorError) as error:
        raise WeightsDamaged("The brand pack's files don't fit the model it names; build the pack anew.") from error
    loaded(_STAGES)
    return Illustrator(pack.pack, manifest, pipeline, text_encoder, vae, linear_part(vae))


def _load_text_encoder(pack: BrandPack, model: Model) -> TextEncoder:
    directory = pack.path("text_encoder")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(directory, local_files_only=True)
    network, info = BertModel.from_pretrained(
        directory, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
    )
    _refuse_loose_tensors(network, info)
    return TextEncoder(tokenizer, network.eval(), model.llama_slots)


def _load_pipeline(pack: BrandPack, model: Model) -> Any:
    """diffusers' pipeline around the transformer alone: `encode` and `decode` are done outside it."""
    transformer, info = HiDreamImageTransformer2DModel.from_pretrained(
        pack.path("transformer"),
        local_files_only=True,
        use_safetensors=True,
        torch_dtype=torch.float32,
        output_loading_info=True,
    )
    _refuse_loose_tensors(transformer, info)
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(pack.path("scheduler"), local_files_only=True)
    absent = ("vae", *(f"{part}{n}" for part in ("text_encoder", "tokenizer") for n in ("", "_2", "_3", "_4")))
    pipeline = HiDreamImagePipeline(transformer=transformer.eval(), scheduler=scheduler, **dict.fromkeys(absent))
    pipeline.vae_scale_factor = model.vae_scale_factor
    pipeline.default_sample_size = IMAGE_SIZE // model.vae_scale_factor  # diffusers fixes 128 and rescales to it
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _refuse_loose_tensors(network: Any, loading_info: dict[str, Any]) -> None:
    """`from_pretrained` only warns of tensors that are missing or left over; here they are an error.

    diffusers 0.42 takes the names of sharded weights from the index: a tensor that the shard itself lacks is not in
    `loading_info`, it stays on the meta device.
    """
    if any(loading_info.values()) or any(tensor.is_meta for tensor in network.state_dict().values()):
        raise RuntimeError("the files' tensors are not the network's")
