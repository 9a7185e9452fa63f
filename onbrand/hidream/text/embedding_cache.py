"""A cache of prompt embeddings, so that "Generate More" needs no text encoder.

The embeddings are in host memory, in this process only. The prompts themselves are neither stored nor logged.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from threading import Lock

import torch

from onbrand.hidream.text.encode import EncodedPrompt, TextEncoder

MAX_BYTES = 1024**3  # about 31 prompts of HiDream-I1 in bfloat16


class EmbeddingCache:
    """Embeddings, stored under the text and the encoder that they come from. Thread-safe.

    The least recently used are removed first.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, EncodedPrompt] = OrderedDict()
        self._size = 0
        self._entries_lock = Lock()
        self._encoding_lock = Lock()  # locked during an encoding; never acquired while `_entries_lock` is locked

    @property
    def size(self) -> int:
        """Bytes of the cached embeddings, at most `max_bytes`."""
        return self._size

    def get_or_encode(self, encoder: TextEncoder, prompt: str, suffix: str) -> EncodedPrompt:
        """Return the embeddings of `prompt + suffix` on the CPU. Cached embeddings equal new ones bit for bit.

        One encoding runs at a time. A thread that asks for the text that is being encoded waits for the result. The
        tensors are shared: do not modify them. Raises the errors of `TextEncoder.encode`; a failure is not cached.
        """
        key = _key(encoder, prompt, suffix)
        if (found := self._get(key)) is not None:
            return found
        with self._encoding_lock:
            if (found := self._get(key)) is not None:
                return found
            fresh = encoder.encode(prompt, suffix)
            encoded = EncodedPrompt(fresh.embeddings.to(torch.device("cpu")), fresh.ignored)
            self._put(key, encoded)
            return encoded

    def _get(self, key: str) -> EncodedPrompt | None:
        with self._entries_lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def _put(self, key: str, encoded: EncodedPrompt) -> None:
        size = encoded.embeddings.size
        if size > self._max_bytes:
            return
        with self._entries_lock:
            while self._size + size > self._max_bytes:
                _, oldest = self._entries.popitem(last=False)
                self._size -= oldest.embeddings.size
            self._entries[key] = encoded
            self._size += size


def _key(encoder: TextEncoder, prompt: str, suffix: str) -> str:
    """The SHA-256 of everything on which the embeddings depend.

    Prompt and suffix are separate items, because only the prompt is cut: the same text, divided at another place, can
    give other tokens.
    """
    parts = json.dumps([encoder.identity, encoder.token_limit, suffix, prompt])
    return hashlib.sha256(parts.encode()).hexdigest()
