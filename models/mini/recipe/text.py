"""Captions to what the transformer reads, exactly as in inference (`onbrand.hidream.text.minilm`), many at a time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

from onbrand.hidream.text.minilm import MiniLm

SLOTS = 18  # token positions that reach the transformer
LAYERS = (1, 3, 5)  # of MiniLM's six; they stand in for HiDream's Llama layers
_LIMIT = 128  # tokens of a text
_BATCH = 64


@dataclass
class Text:
    """MiniLM with its tokenizer."""

    tokenizer: Tokenizer
    network: MiniLm

    @classmethod
    def load(cls, folder: Path) -> Text:
        """From a folder with `config.json`, `tokenizer.json` and `model.safetensors`."""
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(_LIMIT)
        network = MiniLm(json.loads((folder / "config.json").read_text("utf-8")))
        stored = load_file(folder / "model.safetensors")
        weights = {name: tensor.float() for name, tensor in stored.items() if name in network.state_dict()}
        network.load_state_dict(weights)
        return cls(tokenizer, network.requires_grad_(False).eval())

    @torch.inference_mode()
    def embed(self, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(N, layers, SLOTS, 384) and (N, 384), float16. Texts of one length go together, so no mask is needed."""
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(list(captions))]
        width = self.network.embeddings["word_embeddings"].weight.shape[1]
        states = np.zeros((len(ids), len(LAYERS), SLOTS, width), np.float16)
        pooled = np.zeros((len(ids), width), np.float16)
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, row in enumerate(ids):
            by_length[len(row)].append(index)
        for length, indices in by_length.items():
            for first in range(0, len(indices), _BATCH):
                some = indices[first : first + _BATCH]
                outputs = self.network(torch.tensor([ids[index] for index in some]))
                kept = F.layer_norm(outputs[list(LAYERS)], (width,))[:, :, :SLOTS].transpose(0, 1)
                states[some, :, : min(length, SLOTS)] = kept.half().numpy()
                mean = F.normalize(outputs[-1].mean(dim=1), dim=-1) * width**0.5
                pooled[some] = mean.half().numpy()
        return states, pooled
