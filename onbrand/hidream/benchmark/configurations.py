"""The published configuration of each component of HiDream-I1, for use without its weights.

`onbrand bench --random` builds its networks from these, and tests compare their sizes with the table in `models`. A
model with real weights does not use them: it has a `config.json` beside its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


def _clip(width: int, layers: int, heads: int, activation: str) -> dict[str, Any]:
    return {
        "architectures": ["CLIPTextModelWithProjection"],
        "model_type": "clip_text_model",
        "vocab_size": 49_408,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "projection_dim": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_act": activation,
        "max_position_embeddings": 248,  # Long-CLIP, arXiv 2403.15378; the original CLIP has 77
        "bos_token_id": 49_406,
        "eos_token_id": 49_407,
        "pad_token_id": 49_407,
    }


# By folder of the base. Full, Dev and Fast differ only in their weights.
HIDREAM_I1: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # Widths: config.json of openai/clip-vit-large-patch14 and laion/CLIP-ViT-bigG-14-laion2B-39B-b160k.
        "text_encoder": _clip(768, 12, 12, "quick_gelu"),
        "text_encoder_2": _clip(1280, 32, 20, "gelu"),
        # google/t5-v1_1-xxl, config.json.
        "text_encoder_3": {
            "architectures": ["T5EncoderModel"],
            "model_type": "t5",
            "vocab_size": 32_128,
            "d_model": 4096,
            "d_kv": 64,
            "d_ff": 10_240,
            "num_layers": 24,
            "num_heads": 64,
            "feed_forward_proj": "gated-gelu",
            "relative_attention_num_buckets": 32,
            "tie_word_embeddings": False,
            "pad_token_id": 0,
            "eos_token_id": 1,
        },
        # meta-llama/Llama-3.1-8B-Instruct, config.json.
        "text_encoder_4": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": 128_256,
            "hidden_size": 4096,
            "intermediate_size": 14_336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "max_position_embeddings": 131_072,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500_000.0,
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
            "tie_word_embeddings": False,
            "bos_token_id": 128_000,
            "eos_token_id": [128_001, 128_008, 128_009],
        },
        # From ComfyUI, comfy/model_detection.py, which recognises HiDream by its tensors; the rest are diffusers'
        # defaults.
        "transformer": {
            "_class_name": "HiDreamImageTransformer2DModel",
            "patch_size": 2,
            "in_channels": 16,
            "out_channels": 16,
            "num_layers": 16,
            "num_single_layers": 32,
            "attention_head_dim": 128,
            "num_attention_heads": 20,
            "caption_channels": [4096, 4096],
            "text_emb_dim": 2048,
            "num_routed_experts": 4,
            "num_activated_experts": 2,
            "axes_dims_rope": [64, 32, 32],
            "max_resolution": [128, 128],
            "llama_layers": [*range(32), *[31] * 16],
        },
        # black-forest-labs/FLUX.1-schnell, vae/config.json.
        "vae": {
            "_class_name": "AutoencoderKL",
            "in_channels": 3,
            "out_channels": 3,
            "latent_channels": 16,
            "block_out_channels": [128, 256, 512, 512],
            "down_block_types": ["DownEncoderBlock2D"] * 4,
            "up_block_types": ["UpDecoderBlock2D"] * 4,
            "layers_per_block": 2,
            "norm_num_groups": 32,
            "act_fn": "silu",
            "sample_size": 1024,
            "scaling_factor": 0.3611,
            "shift_factor": 0.1159,
            "use_quant_conv": False,
            "use_post_quant_conv": False,
        },
    }
)
