"""What all text encoders share: the types of their results, and how a prompt is cut to a token limit.

The encoders themselves are in `minilm` and `encoders`, the cache in `embedding_cache`. This module does not depend on a
model. No prompt is ever logged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from onbrand.errors import PromptSuffixTooLong


@dataclass(frozen=True)
class Embeddings:
    """One text as the transformer's input: L layers, S positions, width D (a different D for each of the three)."""

    llama3: Tensor  # (L, 1, S, D)
    t5: Tensor  # (1, S, D)
    pooled: Tensor  # (1, D)

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in (self.llama3, self.t5, self.pooled))

    def to(self, device: torch.device) -> Embeddings:
        """A copy on another device."""
        return Embeddings(self.llama3.to(device), self.t5.to(device), self.pooled.to(device))


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt's embeddings. Not every encoder read the prompt's last `ignored` code points."""

    embeddings: Embeddings
    ignored: int


class TextEncoder(Protocol):
    """Turns a prompt into embeddings. It is not thread-safe; use it through `EmbeddingCache`."""

    @property
    def identity(self) -> str:
        """Model, base and precision. Two encoders with the same identity give the same embeddings."""
        ...

    @property
    def token_limit(self) -> int:
        """The maximum number of tokens of a text, including the brand's suffix and special tokens."""
        ...

    @property
    def large_networks(self) -> Mapping[str, nn.Module]:
        """The networks that `onbrand pack prepare` stores, by their folder in the base."""
        ...

    def encode(self, prompt: str, suffix: str) -> EncodedPrompt:
        """Encode `prompt + suffix`. The embeddings are on the device of the networks.

        A prompt that is too long is cut. The suffix (the brand's trigger words) is never cut, because without it the
        picture would lose the brand's style.

        Raises:
            PromptSuffixTooLong: the suffix alone is too long.
        """
        ...

    def to(self, device: torch.device) -> None:
        """Move the networks to a device."""
        ...


@dataclass(frozen=True)
class PromptTokenizer:
    """A tokenizer with a token limit. `make_prompt_tokenizer` makes it."""

    tokenizer: Tokenizer
    limit: int  # tokens, including special tokens

    def ids(self, text: str) -> list[int]:
        """The token ids of a text, with the special tokens that the tokenizer adds around it."""
        return list(self.tokenizer.encode(text).ids)

    def fitting_length(self, prompt: str, suffix: str) -> int:
        """How many code points of the prompt's beginning fit into the limit together with the suffix.

        Prompt and suffix are tokenized as one text, because a token may contain the end of one and the beginning of the
        other. Cutting the prompt can change the tokens before the cut, so the shorter text is tokenized again until it
        fits.

        Raises:
            PromptSuffixTooLong: the suffix alone is too long.
        """
        end = len(prompt)
        while (cut := self._cut(prompt[:end], suffix)) < end:
            end = cut
        return end

    def _cut(self, prompt: str, suffix: str) -> int:
        """Where to cut the prompt (in code points) to remove the tokens above the limit; its length if all fit."""
        encoding = self.tokenizer.encode(prompt + suffix)
        excess = len(encoding.ids) - self.limit
        if excess <= 0:
            return len(prompt)
        if not prompt:
            raise PromptSuffixTooLong(
                f"The brand pack's `prompt_suffix` takes more than the {self.limit} tokens that the model reads:"
                " shorten it or raise `prompt_token_limit`, and build the pack again."
            )
        offsets = zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
        spans = [span for span, is_special in offsets if not is_special and span[0] < len(prompt)]
        kept = max(0, len(spans) - excess)
        if kept == len(spans):  # the prompt has only characters that became no token
            return 0
        # Several tokens can have the span of the same code point. The smaller of the two numbers never cuts inside it.
        return int(min(spans[kept - 1][1] if kept else 0, spans[kept][0]))


def make_prompt_tokenizer(tokenizer: Tokenizer, limit: int) -> PromptTokenizer:
    """Make a tokenizer that does not pad, does not cut, and makes no special tokens from the text of a prompt.

    In a prompt, `<|endoftext|>` would end the text for CLIP before the brand's suffix. With this setting it is
    tokenized as plain characters. The given `tokenizer` is modified.
    """
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return PromptTokenizer(tokenizer, limit)


def truncate_prompt(tokenizers: Sequence[PromptTokenizer], prompt: str, suffix: str) -> tuple[list[list[int]], int]:
    """Cut the prompt for each tokenizer, and return the token ids and the number of ignored code points.

    Each tokenizer gets as much of the prompt as fits into its own limit. A code point is ignored if it does not fit for
    at least one of them. The prompt without the ignored code points fits for all of them, even if the cut is inside a
    word and the rest of the word needs more tokens than the whole word.

    Raises:
        PromptSuffixTooLong: the suffix alone is too long for one of them.
    """
    ends = [each.fitting_length(prompt, suffix) for each in tokenizers]
    ids = [each.ids(prompt[:end] + suffix) for each, end in zip(tokenizers, ends, strict=True)]
    shortest = min(ends)
    if shortest < len(prompt):
        while (end := min(each.fitting_length(prompt[:shortest], suffix) for each in tokenizers)) < shortest:
            shortest = end
    return ids, len(prompt) - shortest
