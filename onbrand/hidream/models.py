"""The image models Onbrand can load, one row each. What varies within a model (weights, LoRA, steps) is in its pack."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """What the code must know about a model beyond the configurations in its directory."""

    vae_scale_factor: int  # pixels of the picture per latent, one way
    llama_slots: int  # token positions of `prompt_embeds_llama3` the transformer was trained with


MODELS = {
    # Ours: 12.5 M parameters, drawn with MiniLM in place of the four text encoders. See models/mini/README.md.
    "mini": Model(vae_scale_factor=64, llama_slots=16),
}
