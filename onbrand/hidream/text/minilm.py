"""The mini model's text encoder: MiniLM instead of HiDream's four encoders, exactly as in the mini model's training.

The output of each MiniLM layer replaces that of a Llama layer; the pooled sentence replaces T5 and both CLIPs. The
tables are in models/mini/README.md. The network is implemented here because importing transformers takes seconds; the
results are equal to transformers' bit for bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from onbrand.errors import NetworkConfigInvalid, TokenizerInvalid
from onbrand.hidream.network.blank import Matrix, Table
from onbrand.hidream.text.encode import (
    Embeddings,
    EncodedPrompt,
    PromptTokenizer,
    make_prompt_tokenizer,
    truncate_prompt,
)
from onbrand.hidream.weights.load_state import load_state
from onbrand.hidream.weights.stream import stream_tensors
from onbrand.packs.base import Base
from onbrand.storage.files import REMEDY

FOLDER = "text_encoder"


class MiniLm(nn.Module):
    """BERT's encoder (arXiv 1810.04805) for one text, without masks. Module names are those of the stored weights."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.embeddings: Any = nn.ModuleDict(
            {
                "word_embeddings": Table(config["vocab_size"], width),
                "position_embeddings": Table(config["max_position_embeddings"], width),
                "token_type_embeddings": Table(config["type_vocab_size"], width),
                "LayerNorm": nn.LayerNorm(width, eps=config["layer_norm_eps"]),
            }
        )
        layers = [Layer(config) for _ in range(config["num_hidden_layers"])]
        self.encoder: Any = nn.ModuleDict({"layer": nn.ModuleList(layers)})

    def forward(self, ids: Tensor) -> Tensor:
        """(1, S) token ids to (L, 1, S, D): the outputs of all L layers."""
        part = self.embeddings
        positions = torch.arange(ids.shape[1], device=ids.device)
        types = torch.zeros_like(ids)
        x = part["word_embeddings"](ids) + part["token_type_embeddings"](types)
        x = part["LayerNorm"](x + part["position_embeddings"](positions))
        outputs = []
        for layer in self.encoder["layer"]:
            x = layer(x)
            outputs.append(x)
        return torch.stack(outputs)


class Layer(nn.Module):
    """Attention and a feed-forward. Each is added to its input, and the sum is normalized."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, inner, eps = config["hidden_size"], config["intermediate_size"], config["layer_norm_eps"]
        self.heads = config["num_attention_heads"]
        self.attention: Any = nn.ModuleDict(
            {
                "self": nn.ModuleDict({name: Matrix(width, width) for name in ("query", "key", "value")}),
                "output": _dense_and_norm(width, width, eps),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": Matrix(width, inner)})
        self.output = _dense_and_norm(inner, width, eps)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            self.attention["self"][name](x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = self.attention["output"]["LayerNorm"](self.attention["output"]["dense"](attended) + x)
        inner = F.gelu(self.intermediate["dense"](x))
        added: Tensor = self.output["LayerNorm"](self.output["dense"](inner) + x)
        return added


def _dense_and_norm(from_width: int, to_width: int, eps: float) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": Matrix(from_width, to_width), "LayerNorm": nn.LayerNorm(to_width, eps=eps)})


@dataclass(frozen=True)
class MiniLmEncoder:
    """MiniLM as a `TextEncoder`. The transformer gets the first `slots` token positions."""

    identity: str
    tokenizer: PromptTokenizer
    network: MiniLm
    slots: int

    @property
    def token_limit(self) -> int:
        """The maximum number of tokens of a text."""
        return self.tokenizer.limit

    @property
    def large_networks(self) -> Mapping[str, nn.Module]:
        """None: MiniLM is small."""
        return {}

    def encode(self, prompt: str, suffix: str) -> EncodedPrompt:
        """See `TextEncoder`."""
        (ids,), ignored = truncate_prompt([self.tokenizer], prompt, suffix)
        return EncodedPrompt(self.embed(ids), ignored)

    @torch.no_grad()
    def embed(self, ids: list[int]) -> Embeddings:
        """Turn token ids into embeddings.

        Slots after the text are zero, as in training. HiDream's transformer has no text mask, so it attends to them.
        """
        device = self.network.embeddings["word_embeddings"].weight.device
        outputs = self.network(torch.tensor([ids], device=device))
        layers = F.layer_norm(outputs, outputs.shape[-1:])[:, :, : self.slots]
        llama3 = F.pad(layers, (0, 0, 0, self.slots - layers.shape[2])).contiguous()
        width = outputs.shape[-1]
        pooled = F.normalize(outputs[-1].mean(dim=1), dim=-1) * width**0.5
        return Embeddings(llama3, pooled[:, None], pooled)

    def to(self, device: torch.device) -> None:
        """See `TextEncoder`."""
        self.network.to(device)


def load_minilm(
    base: Base, *, identity: str, token_limit: int, slots: int, device: torch.device, on_bytes: Callable[[int], None]
) -> MiniLmEncoder:
    """Load MiniLM from a base, in float32. `on_bytes` as in `stream_tensors`.

    Raises:
        WeightsMissing: a file does not exist.
        FileDamaged: a file differs from the manifest or cannot be read.
        NetworkConfigInvalid, TokenizerInvalid, TensorsMismatch: a file is not MiniLM's.
    """
    document, tokens = base.read(f"{FOLDER}/config.json"), base.read(f"{FOLDER}/tokenizer.json")
    try:
        config = json.loads(document)
        if config["hidden_act"] != "gelu" or config["max_position_embeddings"] < token_limit:
            raise ValueError("another kind of BERT")
        # Not on the meta device: it is small, and has no random numbers to save.
        network = MiniLm(config).to(device)
    except (TypeError, ValueError, LookupError, ArithmeticError, RuntimeError) as error:
        raise NetworkConfigInvalid(f"The files of {FOLDER} in {base.folder} are not MiniLM's: {REMEDY}.") from error
    try:
        tokenizer = Tokenizer.from_str(tokens.decode())
    # The tokenizers library raises plain `Exception`.
    except Exception as error:
        raise TokenizerInvalid(f"The files of {FOLDER} in {base.folder} are not MiniLM's: {REMEDY}.") from error
    network.requires_grad_(False).eval()
    stream = stream_tensors(base.folder, base.within(FOLDER), on_bytes=on_bytes)
    load_state(network, stream, is_ignored=lambda name: name.startswith("pooler."))
    return MiniLmEncoder(identity, make_prompt_tokenizer(tokenizer, token_limit), network, slots)
