"""HiDream-I1 at tiny size: diffusers' and transformers' own classes with random weights, stored like real ones.

Everything is made here, including the tokenizers; nothing is downloaded. The pictures have 1024×1024 pixels as always.
The decoder scales by 64, so the transformer has only 64 image tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchLCMScheduler, HiDreamImagePipeline, HiDreamImageTransformer2DModel
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from onbrand.hidream.models import MODELS
from onbrand.packs.base import BASE_MANIFEST, Base, load_base
from onbrand.packs.manifest import MANIFEST, BrandPack, load_pack
from onbrand.storage.files import LocalFolder

VARIANTS = tuple(name for name in MODELS if name.startswith("hidream-i1-"))
REVISION = "0" * 40
SIZE = 16  # latents along one side
RANK, ALPHA = 4, 8.0
ADAPTED = (".to_q", ".to_k", ".to_v", ".to_out", ".to_q_t", ".to_k_t", ".to_v_t", ".to_out_t", ".w1", ".w2", ".w3")
LINES = [
    "a painting of a squirrel eating a burger",
    "product illustration of a blue kettle on a table, onbrand style",
    "flat vector drawing, soft shadows, brand colours",
    "an isometric phone with a chart and a cloud",
]


def tiny_pipeline(seed: int = 0) -> Any:
    """diffusers' complete `HiDreamImagePipeline` in float32 on the CPU, with the scheduler class of Dev and Fast."""
    torch.manual_seed(seed)
    clip, t5, llama = _clip_tokenizer(), _t5_tokenizer(), _llama_tokenizer()
    clip_config = CLIPTextConfig(
        vocab_size=len(clip),
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        projection_dim=32,
        max_position_embeddings=248,
        bos_token_id=clip.bos_token_id,
        eos_token_id=clip.eos_token_id,
        pad_token_id=clip.pad_token_id,
    )
    transformer = HiDreamImageTransformer2DModel(
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=4,
        caption_channels=[32, 16],
        text_emb_dim=64,
        num_routed_experts=4,
        num_activated_experts=2,
        axes_dims_rope=(8, 4, 4),
        max_resolution=(SIZE, SIZE),
        llama_layers=[0, 1, 1],
    )
    vae = AutoencoderKL(
        block_out_channels=(4,) * 7,
        layers_per_block=0,  # the decoder has one layer more per block; a 1024² picture takes 0.4 s
        latent_channels=4,
        norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 7,
        up_block_types=("UpDecoderBlock2D",) * 7,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    pipeline = HiDreamImagePipeline(
        scheduler=FlowMatchLCMScheduler(shift=MODELS["hidream-i1-dev"].shift),
        vae=vae.eval(),
        text_encoder=CLIPTextModelWithProjection(clip_config).eval(),
        tokenizer=clip,
        text_encoder_2=CLIPTextModelWithProjection(clip_config).eval(),
        tokenizer_2=_clip_tokenizer(),
        text_encoder_3=T5EncoderModel(
            T5Config(vocab_size=len(t5), d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
        ).eval(),
        tokenizer_3=t5,
        text_encoder_4=LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(llama),
                hidden_size=16,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                bos_token_id=0,
                eos_token_id=1,
                pad_token_id=1,
            )
        ).eval(),
        tokenizer_4=llama,
        transformer=transformer.eval(),
    )
    pipeline.default_sample_size = SIZE
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_base(directory: Path, model: str = "hidream-i1-dev", seed: int = 0) -> Base:
    """Write a base in diffusers' layout with its manifest. The transformer is in bfloat16, in several shards."""
    pipeline = tiny_pipeline(seed)
    for name, part in pipeline.components.items():
        if name == "scheduler":
            continue
        if name == "transformer":
            part.to(torch.bfloat16).save_pretrained(directory / name, max_shard_size="300KB")
        else:
            part.save_pretrained(directory / name)
    sources = [
        {"folder": folder, "repository": part.repository, "revision": REVISION}
        for folder, part in MODELS[model].components.items()
    ]
    manifest = {"schema": 1, "model": model, "sources": sources, "files": _files(directory)}
    (directory / BASE_MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return load_base(LocalFolder(directory))


def adapted_modules(transformer: torch.nn.Module) -> tuple[str, ...]:
    """The modules that a brand's LoRA adapts: attention, text and shared feed-forwards, never routed experts."""
    return tuple(
        sorted(
            name
            for name, module in transformer.named_modules()
            if isinstance(module, torch.nn.Linear) and name.endswith(ADAPTED) and ".experts." not in name
        )
    )


def tiny_lora(transformer: torch.nn.Module, seed: int = 1, strength: float = 0.3) -> dict[str, Tensor]:
    """A random LoRA with diffusers' key names and a visible effect."""
    generator = torch.Generator().manual_seed(seed)
    modules = dict(transformer.named_modules())
    weights: dict[str, Tensor] = {}
    for name in adapted_modules(transformer):
        out_features, in_features = modules[name].weight.shape
        down = torch.randn(RANK, in_features, generator=generator) / in_features**0.5
        up = strength * torch.randn(out_features, RANK, generator=generator) / RANK
        weights |= {f"transformer.{name}.lora_A.weight": down, f"transformer.{name}.lora_B.weight": up}
    return weights


def tiny_pack(
    directory: Path,
    base: Base,
    lora: dict[str, Tensor],
    modules: Sequence[str],
    *,
    steps: int = 3,
    probe: Mapping[str, Sequence[float]] | None = None,
    version: str = "1",
) -> BrandPack:
    """Write a brand pack for a tiny base. The default `probe` has numbers that fit no model."""
    directory.mkdir(parents=True, exist_ok=True)
    save_file(lora, directory / "lora.safetensors", {"format": "pt"})
    model = MODELS[base.manifest.model]
    manifest = {
        "schema": 2,
        "name": "Tiny brand",
        "version": version,
        "base_model": base.manifest.model,
        "base": base.id,
        "prompt_suffix": ", onbrand style",
        "prompt_token_limit": model.prompt_token_limit,
        "steps": steps,
        "guidance_scale": model.guidance_scale,
        "shift": model.shift,
        "lora": {
            "file": "lora.safetensors",
            "rank": RANK,
            "alpha": ALPHA,
            "scale": 1.0,
            "adapted_modules": list(modules),
        },
        "probe": probe or {"base": [0.0] * 8, "fused": [1.0] * 8},
        "files": _files(directory),
    }
    (directory / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return load_pack(directory)


def _files(directory: Path) -> list[dict[str, Any]]:
    manifests = (BASE_MANIFEST, MANIFEST)
    found = (path for path in sorted(directory.rglob("*")) if path.is_file() and path.name not in manifests)
    return [
        {
            "path": path.relative_to(directory).as_posix(),
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in found
    ]


def _clip_tokenizer() -> CLIPTokenizer:
    """A token for every byte and for every byte at the end of a word, without merges, so it accepts any text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{symbol}</w>" for symbol in alphabet), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: n for n, token in enumerate(tokens)}, merges=[], model_max_length=248)


def _t5_tokenizer() -> T5Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    special = ["<pad>", "</s>", "<unk>"]  # this order gives T5's ids
    trainer = trainers.UnigramTrainer(vocab_size=80, show_progress=False, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(LINES, trainer)
    vocabulary = [(piece, round(score, 2)) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]]
    # Sort, because the trainer's order and last digits change from run to run. The ids of special tokens must stay.
    vocabulary = [*vocabulary[: len(special)], *sorted(vocabulary[len(special) :])]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=512)


def _llama_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|begin_of_text|>", "<|eot_id|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        show_progress=False,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", model_max_length=131072
    )
