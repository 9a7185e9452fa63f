"""The embeddings of past prompts, so that Generate More needs no text encoder.

Kept in the CPU's memory, in this process only; the texts themselves are neither kept nor logged.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from threading import Lock

import torch

from onbrand.hidream.text.encode import EncodedPrompt, TextEncoder

MAX_BYTES = 1024**3  # some 31 prompts of HiDream-I1 in bfloat16


class EmbeddingCache:
    """Embeddings by the content that made them; the least recently used go first. Safe to share between threads."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[str, EncodedPrompt] = OrderedDict()
        self._size = 0
        self._entries = Lock()
        self._encoding = Lock()  # held for a whole encoding; never taken while `_entries` is held

    @property
    def size(self) -> int:
        """Bytes of embeddings held: never more than `max_bytes`."""
        return self._size

    def get_or_encode(self, encoder: TextEncoder, prompt: str, suffix: str) -> EncodedPrompt:
        """The embeddings of `prompt + suffix` on the CPU, from memory or freshly made: they are the same bit for bit.

        One encoding runs at a time; whoever asks for the text that is being encoded waits for it. The tensors are
        shared: don't change them. Errors as for `TextEncoder.encode`; after one, nothing is held.
        """
        key = _key(encoder, prompt, suffix)
        if (found := self._get(key)) is not None:
            return found
        with self._encoding:
            if (found := self._get(key)) is not None:
                return found
            fresh = encoder.encode(prompt, suffix)
            encoded = EncodedPrompt(fresh.embeddings.to(torch.device("cpu")), fresh.ignored)
            self._put(key, encoded)
            return encoded

    def _get(self, key: str) -> EncodedPrompt | None:
        with self._entries:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def _put(self, key: str, encoded: EncodedPrompt) -> None:
        size = encoded.embeddings.size
        if size > self._max_bytes:
            return
        with self._entries:
            while self._size + size > self._max_bytes:
                _, oldest = self._held.popitem(last=False)
                self._size -= oldest.embeddings.size
            self._held[key] = encoded
            self._size += size


def _key(encoder: TextEncoder, prompt: str, suffix: str) -> str:
    """Of everything that embeddings depend on. Suffix and prompt apart: they fit a limit differently when they swap."""
    parts = json.dumps([encoder.identity, encoder.token_limit, suffix, prompt])
    return hashlib.sha256(parts.encode()).hexdigest()
