"""HiDream's four text encoders: two long-context CLIPs, T5 and Llama, used as in diffusers' `HiDreamImagePipeline`.

`load_encoders` builds and loads the networks. `encode` cuts prompts that are too long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from onbrand.hidream.text.encode import Embeddings, EncodedPrompt, PromptTokenizer, truncate_prompt


@dataclass(frozen=True)
class EncoderPart:
    """One of the four encoders: its tokenizer and its network."""

    tokenizer: PromptTokenizer
    pad_id: int
    is_padded_left: bool
    network: Any

    def batch(self, ids: list[int]) -> tuple[Tensor, Tensor]:
        """Pad token ids to (1, limit), and make the (1, limit) mask with 1 for text, both on the network's device."""
        count = self.tokenizer.limit - len(ids)
        padding, mask = [self.pad_id] * count, [1] * len(ids)
        rows = ([*padding, *ids], [0] * count + mask) if self.is_padded_left else ([*ids, *padding], mask + [0] * count)
        device = next(self.network.parameters()).device
        return torch.tensor([rows[0]], device=device), torch.tensor([rows[1]], device=device)


@dataclass(frozen=True)
class HiDreamTextEncoder:
    """HiDream's `TextEncoder`."""

    identity: str
    token_limit: int
    clips: tuple[EncoderPart, EncoderPart]
    t5: EncoderPart
    llama: EncoderPart
    onload_device: torch.device | None = (
        None  # where each goes to read, one after the other; None: all stay where they are
    )

    @property
    def large_networks(self) -> Mapping[str, nn.Module]:
        """T5 and Llama."""
        return {"text_encoder_3": self.t5.network, "text_encoder_4": self.llama.network}

    @torch.no_grad()
    def encode(self, prompt: str, suffix: str) -> EncodedPrompt:
        """See `TextEncoder`. As in diffusers, CLIP gets no mask, and the transformer attends to padding too."""
        parts = (*self.clips, self.t5, self.llama)
        (*clip_ids, t5_ids, llama_ids), ignored = truncate_prompt([part.tokenizer for part in parts], prompt, suffix)
        pooled = []
        for part, ids in zip(self.clips, clip_ids, strict=True):
            with self._onloaded(part):
                pooled.append(part.network(part.batch(ids)[0]).text_embeds)
        with self._onloaded(self.t5):
            rows, mask = self.t5.batch(t5_ids)
            sentence = self.t5.network(input_ids=rows, attention_mask=mask).last_hidden_state
        with self._onloaded(self.llama):
            rows, mask = self.llama.batch(llama_ids)
            layers = self.llama.network(
                input_ids=rows, attention_mask=mask, output_hidden_states=True, use_cache=False
            ).hidden_states[1:]
        return EncodedPrompt(Embeddings(torch.stack(layers), sentence, torch.cat(pooled, dim=-1)), ignored)

    @contextmanager
    def _onloaded(self, part: EncoderPart) -> Iterator[None]:
        """Move one network to `onload_device` for the `with` block, and free the device's memory at its end.

        The tensors in host memory are kept, so that nothing has to be copied back.
        """
        if self.onload_device is None:
            yield
            return
        weights = [(weight, weight.data) for weight in part.network.parameters()]
        buffers = [
            (module, name, buffer)
            for module in part.network.modules()
            for name, buffer in module.named_buffers("", False)
        ]
        try:
            part.network.to(self.onload_device)
            yield
        finally:
            for weight, in_host_memory in weights:
                weight.data = in_host_memory
            for module, name, buffer in buffers:
                setattr(module, name, buffer)
            if self.onload_device.type == "cuda":
                torch.cuda.empty_cache()

    def to(self, device: torch.device) -> None:
        """See `TextEncoder`."""
        for part in (*self.clips, self.t5, self.llama):
            part.network.to(device)
