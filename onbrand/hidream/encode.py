"""Text to embeddings: MiniLM in the place of HiDream's four text encoders, exactly as the mini model was trained.

Layer k of MiniLM stands in for a Llama layer, the pooled sentence for T5 and for both CLIPs. The tables of what goes
where are in models/mini/README.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class TextEncoder:
    """MiniLM and its tokenizer; `slots` token positions reach the transformer."""

    tokenizer: Any
    model: Any
    slots: int


@dataclass(frozen=True)
class Embeddings:
    """One text as the pipeline takes it, L layers, S slots, D wide."""

    llama3: Tensor  # (L, 1, S, D)
    t5: Tensor  # (1, 1, D)
    pooled: Tensor  # (1, D)


def token_ids(tokenizer: Any, prompt: str, suffix: str, limit: int) -> tuple[list[int], bool]:
    """The tokens of prompt and suffix, and whether the prompt was cut to fit `limit`.

    The suffix (the brand's trigger) survives any cut: without it the picture would lose the brand's style. Joining the
    tokens equals tokenising the joined text as long as the suffix begins with punctuation or a space.
    """
    prompt_ids = tokenizer.encode(prompt, add_special_tokens=False)
    suffix_ids = tokenizer.encode(suffix, add_special_tokens=False)
    room = limit - len(suffix_ids) - 2
    ids = [tokenizer.cls_token_id, *prompt_ids[:room], *suffix_ids, tokenizer.sep_token_id]
    return ids, len(prompt_ids) > room


def embed(encoder: TextEncoder, ids: list[int]) -> Embeddings:
    """Token ids to embeddings.

    Slots beyond the text are zero, as in training: HiDream's transformer has no text mask and attends to them.
    """
    output = encoder.model(input_ids=torch.tensor([ids]), output_hidden_states=True)
    layers = torch.stack(output.hidden_states[1:])
    layers = F.layer_norm(layers, layers.shape[-1:])[:, :, : encoder.slots]
    llama3 = F.pad(layers, (0, 0, 0, encoder.slots - layers.shape[2]))
    width = output.last_hidden_state.shape[-1]
    pooled = F.normalize(output.last_hidden_state.mean(dim=1), dim=-1) * width**0.5
    return Embeddings(llama3, pooled[:, None], pooled)
