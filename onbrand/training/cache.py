"""What the encoders make of a run's pictures and texts, computed once, before the transformer is loaded.

Latents are kept by the illustration's name and texts by themselves, never by position: diffusers' training script pairs
them by step, and 98 % of its pairs are wrong after a shuffle (diffusers issue 12124).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onbrand.hidream.models import Model, Precision
from onbrand.hidream.text.embedding_cache import EmbeddingCache
from onbrand.hidream.text.encode import Embeddings, TextEncoder
from onbrand.hidream.text.load_encoders import load_text_encoder
from onbrand.packs.base import Base
from onbrand.packs.manifest import digest
from onbrand.training.checkpoints import load_checkpoint, save_state
from onbrand.training.latents import load_picture_encoder

NO_TEXT = ""  # what guidance takes away, and what a dropped caption becomes: no suffix either


@dataclass(frozen=True)
class Cache:
    """(C, H, W) float32 latents by illustration, and embeddings by text without the brand's suffix."""

    latents: Mapping[str, Tensor]
    texts: Mapping[str, Embeddings]


@dataclass(frozen=True)
class Encoders:
    """How pictures and texts are encoded."""

    base: Base
    model: Model
    precision: Precision
    device: torch.device
    are_resident: bool  # all text encoders on the device at the same time
    directory: Path | None = None  # for tokenizers of a base in the object store

    def encode(
        self,
        pictures: Mapping[str, Callable[[], np.ndarray]],
        prompts: Iterable[str],
        suffix: str,
        tell: Callable[[str, int, int], None],
    ) -> Cache:
        """All pictures, then all prompts with the suffix, and no text. Each encoder is freed before the next is loaded.

        Raises:
            WeightsMissing, WeightsUnusable: as for `hidream.load.load_pipeline`.
            PromptSuffixTooLong: the suffix alone is too long.
        """
        latents = {}
        encode = load_picture_encoder(self.base, self.model, self.device)
        for number, (name, pixels) in enumerate(pictures.items(), 1):
            latents[name] = encode(pixels())
            tell("Encoding the illustrations", number, len(pictures))
        del encode
        self._free()
        encoder = self._text_encoder()
        wanted = [(NO_TEXT, ""), *((prompt, suffix) for prompt in dict.fromkeys(prompts))]
        texts, cut = {}, 0
        for number, (prompt, end) in enumerate(wanted, 1):
            # Through the cache of the pipeline, which leaves copies on the CPU.
            encoded = EmbeddingCache(0).get_or_encode(encoder, prompt, end)
            texts[prompt] = encoded.embeddings
            cut += encoded.ignored > 0
            tell("Encoding the captions", number, len(wanted))
        if cut:
            tell(f"The ends of {cut} captions were left out: they are longer than the model reads", 0, 0)
        del encoder
        self._free()
        return Cache(latents, texts)

    def _text_encoder(self) -> TextEncoder:
        cpu = torch.device("cpu")
        return load_text_encoder(
            self.base,
            self.model,
            token_limit=self.model.prompt_token_limit,
            precision=self.precision,
            device=self.device if self.are_resident else cpu,
            onload_device=None if self.are_resident else self.device,
            directory=self.directory,
        )

    def _free(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def cache_key(base: Base, precision: Precision, data: str, side: int, suffix: str, prompts: Iterable[str]) -> str:
    """The SHA-256 of everything that a cache depends on."""
    fields = {"base": base.id, "precision": precision, "data": data, "side": side, "suffix": suffix}
    return digest({**fields, "prompts": sorted(set(prompts))})


def write_cache(path: Path, key: str, cache: Cache) -> None:
    """Keep a cache.

    Raises:
        OSError: it can't be written.
    """
    texts = {text: vars(one) for text, one in cache.texts.items()}
    save_state(path, {"key": key, "latents": dict(cache.latents), "texts": texts})


def read_cache(path: Path, key: str) -> Cache | None:
    """The cache that was kept under this key, or None: then everything is encoded again."""
    try:
        state: dict[str, Any] = load_checkpoint(path)
    # A cache is never the only copy, so whatever is wrong with it, another one is made.
    except Exception:
        return None
    if state.get("key") != key:
        return None
    return Cache(state["latents"], {text: Embeddings(**parts) for text, parts in state["texts"].items()})
