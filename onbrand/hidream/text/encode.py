"""Text to embeddings: what every text encoder gives, and how a prompt with the brand's suffix fits its token limit.

The networks are in `minilm` and `encoders`, the memory of past prompts in `prompts`. Nothing here knows a model, and no
prompt is ever logged.
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
    """One text as the transformer takes it: L layers, S positions, D wide (D differs between the three)."""

    llama3: Tensor  # (L, 1, S, D)
    t5: Tensor  # (1, S, D)
    pooled: Tensor  # (1, D)

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return sum(tensor.nbytes for tensor in (self.llama3, self.t5, self.pooled))

    def to(self, device: torch.device) -> Embeddings:
        """The same on another device."""
        return Embeddings(self.llama3.to(device), self.t5.to(device), self.pooled.to(device))


@dataclass(frozen=True)
class Encoded:
    """A prompt's embeddings. Every encoder read the prompt without its last `ignored` code points."""

    embeddings: Embeddings
    ignored: int


class TextEncoder(Protocol):
    """What turns a prompt into embeddings. Not thread-safe: `prompts.PromptCache` takes care of that."""

    @property
    def identity(self) -> str:
        """Model, base and precision: two encoders of the same identity give the same embeddings."""
        ...

    @property
    def token_limit(self) -> int:
        """The most tokens of a text, the brand's suffix and special tokens included."""
        ...

    @property
    def large(self) -> Mapping[str, nn.Module]:
        """Networks that are worth storing as they are held (`derive`), by their folder in the base."""
        ...

    def encode(self, prompt: str, suffix: str) -> Encoded:
        """The embeddings of `prompt + suffix`, on the device where the networks are.

        A prompt that is too long is cut; the suffix (the brand's trigger) never is, for without it the picture would
        lose the brand's style.

        Raises:
            PromptSuffixTooLong: the suffix alone is too long.
        """
        ...

    def to(self, device: torch.device) -> None:
        """Move the networks, to make room or to come back."""
        ...


@dataclass(frozen=True)
class PromptTokenizer:
    """A tokenizer, and the most tokens that its network is given. Made by `reader`."""

    tokenizer: Tokenizer
    limit: int  # special tokens included

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, with the special tokens that the tokenizer puts around it."""
        return list(self.tokenizer.encode(text).ids)

    def readable(self, prompt: str, suffix: str) -> int:
        """How many code points at the prompt's beginning fit the limit together with the suffix.

        Prompt and suffix are read as one text, for a token may span the seam. Cutting the text can move the borders
        of the tokens before the cut, so the shortened text is read again until it fits.

        Raises:
            PromptSuffixTooLong: the suffix alone is too long.
        """
        end = len(prompt)
        while (cut := self._cut(prompt[:end], suffix)) < end:
            end = cut
        return end

    def _cut(self, prompt: str, suffix: str) -> int:
        """Where to cut the prompt (code points) so that the excess of tokens goes; its length if there is none."""
        encoding = self.tokenizer.encode(prompt + suffix)
        excess = len(encoding.ids) - self.limit
        if excess <= 0:
            return len(prompt)
        if not prompt:
            raise PromptSuffixTooLong(
                f"The brand pack's `prompt_suffix` takes more than the {self.limit} tokens that the model reads:"
                " shorten it or raise `prompt_token_limit`, and build the pack anew."
            )
        offsets = zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
        spans = [span for span, is_special in offsets if not is_special and span[0] < len(prompt)]
        kept = max(0, len(spans) - excess)
        if kept == len(spans):  # only invisible characters, none of which became a token
            return 0
        # Pieces of one code point share its span: the smaller of the two numbers never splits it.
        return int(min(spans[kept - 1][1] if kept else 0, spans[kept][0]))


def reader(tokenizer: Tokenizer, limit: int) -> PromptTokenizer:
    """A reader of whole texts: nothing padded or cut unseen, and no special token out of a prompt.

    A prompt that says `<|endoftext|>` would end the text for CLIP before the brand's suffix; it is read as the plain
    characters that it is. Changes `tokenizer`.
    """
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return PromptTokenizer(tokenizer, limit)


def truncate_prompt(readers: Sequence[PromptTokenizer], prompt: str, suffix: str) -> tuple[list[list[int]], int]:
    """Each reader's tokens of as much of the prompt as it can take, and how many code points not all of them read.

    A reader isn't held back by another with a poorer vocabulary. The prompt without the ignored code points can be
    read whole by all of them, also where a cut through a word makes more tokens of it.

    Raises:
        PromptSuffixTooLong: the suffix alone is too long for one of them.
    """
    ends = [each.readable(prompt, suffix) for each in readers]
    ids = [each.ids(prompt[:end] + suffix) for each, end in zip(readers, ends, strict=True)]
    shortest = min(ends)
    if shortest < len(prompt):
        while (end := min(each.readable(prompt[:shortest], suffix) for each in readers)) < shortest:
            shortest = end
    return ids, len(prompt) - shortest
