"""The baseline of `onbrand bench`: diffusers' own `HiDreamImagePipeline` with a base's weights.

It uses the pipeline unchanged: its transformer class, its schedulers, its handling of prompts and pictures. It loads no
LoRA, so it is as fast as with a fused one. The pipeline does not support the mini model's text encoder and decoder. For
that model it gets our embeddings and returns latents, which our decoder decodes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, HiDreamImagePipeline, HiDreamImageTransformer2DModel
from PIL import Image
from torch import Tensor, nn

from onbrand.hidream.decoding.decode import Decoder, decode
from onbrand.hidream.load import Stage, StageTimer, load_decoder
from onbrand.hidream.models import MODELS, Model, Precision, Scheduler
from onbrand.hidream.text.encode import TextEncoder
from onbrand.hidream.text.load_encoders import load_text_encoder
from onbrand.hidream.weights.load_state import load_state
from onbrand.hidream.weights.stream import stream_tensors
from onbrand.jobs.models import IMAGE_SIZE
from onbrand.packs.base import Base
from onbrand.packs.manifest import Manifest
from onbrand.storage.files import LocalFolder, fetch

_TOKENIZERS = ("CLIPTokenizer", "CLIPTokenizer", "T5Tokenizer", "PreTrainedTokenizerFast")
_ENCODERS = ("CLIPTextModelWithProjection", "CLIPTextModelWithProjection", "T5EncoderModel", "LlamaForCausalLM")
_NAMES = ("", "_2", "_3", "_4")


@dataclass(frozen=True)
class DiffusersBaseline:
    """A loaded pipeline. `encoder` and `decoder` are ours if the pipeline does not support the model's own."""

    pipeline: Any
    manifest: Manifest  # of the pack whose settings it uses
    encoder: TextEncoder | None
    decoder: Decoder | None

    @torch.inference_mode()
    def draw(self, prompt: str, seeds: Sequence[int], on_step: Callable[[int], None]) -> list[Image.Image]:
        """Draw one picture for each seed. `on_step(k)` is called after step k, and with 0 before the first step."""
        texts = self._embeddings(prompt, len(seeds))
        on_step(0)

        def at_step(_pipeline: object, index: int, _timestep: object, tensors: dict[str, Any]) -> dict[str, Any]:
            on_step(index + 1)
            return tensors

        (images,) = self.pipeline(
            **texts,
            height=IMAGE_SIZE,
            width=IMAGE_SIZE,
            num_inference_steps=self.manifest.steps,
            guidance_scale=self.manifest.guidance_scale,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            callback_on_step_end=at_step,
            output_type="pil" if self.decoder is None else "latent",
            return_dict=False,
        )
        return images if self.decoder is None else [Image.fromarray(pixels) for pixels in decode(self.decoder, images)]

    @torch.inference_mode()
    def encode(self, prompt: str) -> None:
        """Encode a prompt. The pipeline has no cache and does this again for each call."""
        self._embeddings(prompt, 1)

    def _embeddings(self, prompt: str, count: int) -> Mapping[str, Tensor]:
        """Embeddings of the prompt and, with guidance, of the empty text, for `count` pictures, by argument name."""
        manifest, is_guided = self.manifest, self.manifest.guidance_scale > 1
        if self.encoder is None:
            names = [f"{prefix}prompt_embeds_{kind}" for kind in ("t5", "llama3") for prefix in ("", "negative_")]
            found = self.pipeline.encode_prompt(
                prompt=prompt + manifest.prompt_suffix,
                device=self.pipeline.transformer.device,
                num_images_per_prompt=count,
                do_classifier_free_guidance=is_guided,
                max_sequence_length=manifest.prompt_token_limit,
            )
            return dict(zip((*names, "pooled_prompt_embeds", "negative_pooled_prompt_embeds"), found, strict=True))
        embeddings = {"": self.encoder.encode(prompt, manifest.prompt_suffix).embeddings}
        if is_guided:
            embeddings["negative_"] = self.encoder.encode("", "").embeddings
        texts = {}
        for prefix, text in embeddings.items():
            texts[f"{prefix}prompt_embeds_llama3"] = text.llama3.repeat(1, count, 1, 1)
            texts[f"{prefix}prompt_embeds_t5"] = text.t5.repeat(count, 1, 1)
            texts[f"{prefix}pooled_prompt_embeds"] = text.pooled.repeat(count, 1)
        return texts


def load_baseline(
    base: Base, manifest: Manifest, device: torch.device, on_stage: Callable[[Stage], None] = lambda _: None
) -> DiffusersBaseline:
    """Load the complete pipeline on `device`: in bfloat16 on a GPU, in float32 on a CPU.

    A base in a local directory is loaded by `from_pretrained` of diffusers and transformers, and `on_stage` is called
    with the seconds of each part. These cannot load from other places; there our loader fills the networks, and
    `on_stage` is not called.

    Raises:
        torch.OutOfMemoryError: the pipeline does not fit into memory.
        WeightsMissing, WeightsUnusable: as for `load_pipeline`.
    """
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    loader = _Loader(base, MODELS[base.manifest.model], manifest.prompt_token_limit, device)
    stages = StageTimer(on_stage if loader.directory is not None else lambda _: None)
    parts: dict[str, Any] = dict.fromkeys(f"{part}{name}" for part in ("text_encoder", "tokenizer") for name in _NAMES)
    encoder = decoder = None
    with stages.stage("encoders"):
        if loader.model.text == "hidream":
            parts |= loader.text_parts()
        else:
            encoder = loader.our_encoder()
    with stages.stage("transformer"):
        transformer = loader.network("transformer", HiDreamImageTransformer2DModel)
    with stages.stage("decoder"):
        vae = loader.network("vae", AutoencoderKL) if loader.model.decoder == "kl" else None
        if vae is None:
            decoder = load_decoder(base, loader.model, loader.precision, device, lambda _: None)
    pipeline = HiDreamImagePipeline(
        transformer=transformer, vae=vae, scheduler=_scheduler(loader.model.scheduler, manifest.shift), **parts
    )
    if decoder is not None:
        pipeline.vae_scale_factor = decoder.scale_factor
    pipeline.default_sample_size = IMAGE_SIZE // pipeline.vae_scale_factor  # diffusers would resize to 128 latents
    pipeline.set_progress_bar_config(disable=True)
    return DiffusersBaseline(pipeline, manifest, encoder, decoder)


@dataclass(frozen=True)
class _Loader:
    base: Base
    model: Model
    token_limit: int
    device: torch.device

    @property
    def directory(self) -> Path | None:
        folder = self.base.folder
        return folder.directory if isinstance(folder, LocalFolder) else None

    @property
    def precision(self) -> Precision:
        return Precision.FLOAT32 if self.device.type == "cpu" else Precision.BFLOAT16

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if self.device.type == "cpu" else torch.bfloat16

    def our_encoder(self) -> Any:
        return load_text_encoder(
            self.base, self.model, token_limit=self.token_limit, precision=self.precision, device=self.device
        )

    def text_parts(self) -> dict[str, Any]:
        """Load the four tokenizers and encoders."""
        with TemporaryDirectory(prefix="onbrand-") as temporary:
            directory, names = self.directory or Path(temporary), [f"tokenizer{name}" for name in _NAMES]
            if self.directory is None:
                for name in names:
                    fetch(self.base.folder, self.base.within(name), directory)
            parts = {
                name: getattr(transformers, class_name).from_pretrained(directory / name, local_files_only=True)
                for name, class_name in zip(names, _TOKENIZERS, strict=True)
            }
        if self.directory is None:
            ours = self.our_encoder()
            networks = [part.network for part in (*ours.clips, ours.t5, ours.llama)]
        else:
            networks = [
                getattr(transformers, class_name)
                .from_pretrained(self.directory / f"text_encoder{name}", local_files_only=True, dtype=self.dtype)
                .to(self.device)
                for name, class_name in zip(_NAMES, _ENCODERS, strict=True)
            ]
        return parts | {f"text_encoder{name}": network for name, network in zip(_NAMES, networks, strict=True)}

    def network(self, folder: str, network_class: Any) -> Any:
        """Load one of diffusers' networks."""
        if self.directory is not None:
            network = network_class.from_pretrained(
                self.directory / folder, local_files_only=True, torch_dtype=self.dtype
            )
            return network.to(self.device).eval()
        config = json.loads(self.base.read(f"{folder}/config.json"))
        with torch.device("meta"):
            network = network_class.from_config(config)
        nn.Module.to(network, self.dtype).to_empty(device=self.device)
        load_state(network, stream_tensors(self.base.folder, self.base.within(folder)))
        return network.requires_grad_(False).eval()


def _scheduler(row: Scheduler, shift: float) -> Any:
    return getattr(diffusers, row.class_name)(**{row.shift_argument: shift}, **row.settings)
