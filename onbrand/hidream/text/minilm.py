"""The mini model's text encoder: MiniLM in the place of HiDream's four, exactly as the mini model was trained.

Layer k of MiniLM stands in for a Llama layer, the pooled sentence for T5 and for both CLIPs. The tables of what goes
where are in models/mini/README.md. The network is written out here: transformers' own, to which it is equal bit for
bit, takes seconds to import.
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
from onbrand.hidream.text.encode import Embeddings, Encoded, PromptTokenizer, reader, truncate_prompt
from onbrand.hidream.weights.load_state import fill
from onbrand.hidream.weights.stream import tensors
from onbrand.packs.base import Base
from onbrand.storage.files import REMEDY

FOLDER = "text_encoder"


class Matrix(nn.Linear):
    """Without the random numbers that it would begin with: `fill` follows."""

    def reset_parameters(self) -> None:
        """Leave the memory as it is."""


class Table(nn.Embedding):
    """Without the random numbers that it would begin with: `fill` follows."""

    def reset_parameters(self) -> None:
        """Leave the memory as it is."""


class MiniLm(nn.Module):
    """BERT's encoder (arXiv 1810.04805) for one text, without masks; module names are those of the stored weights."""

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
        """(1, S) token ids to (L, 1, S, D): what each of the L layers gives."""
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
    """Attention and a feed-forward, each added to its input and then normalised."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, inner, eps = config["hidden_size"], config["intermediate_size"], config["layer_norm_eps"]
        self.heads = config["num_attention_heads"]
        self.attention: Any = nn.ModuleDict(
            {
                "self": nn.ModuleDict({name: Matrix(width, width) for name in ("query", "key", "value")}),
                "output": _added(width, width, eps),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": Matrix(width, inner)})
        self.output = _added(inner, width, eps)

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


def _added(from_width: int, to_width: int, eps: float) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": Matrix(from_width, to_width), "LayerNorm": nn.LayerNorm(to_width, eps=eps)})


@dataclass(frozen=True)
class MiniLmEncoder:
    """MiniLM as a `TextEncoder`; `slots` token positions reach the transformer."""

    identity: str
    reader: PromptTokenizer
    network: MiniLm
    slots: int

    @property
    def token_limit(self) -> int:
        """The most tokens of a text."""
        return self.reader.limit

    @property
    def large(self) -> Mapping[str, nn.Module]:
        """None."""
        return {}

    def encode(self, prompt: str, suffix: str) -> Encoded:
        """As in `TextEncoder`."""
        (ids,), ignored = truncate_prompt([self.reader], prompt, suffix)
        return Encoded(self.embed(ids), ignored)

    @torch.no_grad()
    def embed(self, ids: list[int]) -> Embeddings:
        """Token ids to embeddings.

        Slots beyond the text are zero, as in training: HiDream's transformer has no text mask and attends to them.
        """
        device = self.network.embeddings["word_embeddings"].weight.device
        outputs = self.network(torch.tensor([ids], device=device))
        layers = F.layer_norm(outputs, outputs.shape[-1:])[:, :, : self.slots]
        llama3 = F.pad(layers, (0, 0, 0, self.slots - layers.shape[2])).contiguous()
        width = outputs.shape[-1]
        pooled = F.normalize(outputs[-1].mean(dim=1), dim=-1) * width**0.5
        return Embeddings(llama3, pooled[:, None], pooled)

    def to(self, device: torch.device) -> None:
        """As in `TextEncoder`."""
        self.network.to(device)


def load_minilm(
    base: Base, *, identity: str, token_limit: int, slots: int, device: torch.device, on_bytes: Callable[[int], None]
) -> MiniLmEncoder:
    """MiniLM of a base, in float32; `on_bytes` as in `stream.tensors`.

    Raises:
        WeightsMissing: a file is not there.
        FileDamaged: a file differs from the manifest or cannot be read.
        NetworkConfigInvalid, TokenizerInvalid, TensorsMismatch: a file is not MiniLM's.
    """
    document, tokens = base.read(f"{FOLDER}/config.json"), base.read(f"{FOLDER}/tokenizer.json")
    try:
        config = json.loads(document)
        if config["hidden_act"] != "gelu" or config["max_position_embeddings"] < token_limit:
            raise ValueError("another kind of BERT")
        # Not on the meta device first: random numbers there, and `to_empty`, import a compiler, which takes a second.
        network = MiniLm(config).to(device)
    except (TypeError, ValueError, LookupError, ArithmeticError, RuntimeError) as error:
        raise NetworkConfigInvalid(f"The files of {FOLDER} in {base.folder} are not MiniLM's: {REMEDY}.") from error
    try:
        tokenizer = Tokenizer.from_str(tokens.decode())
    # tokenizers raises Exception itself.
    except Exception as error:
        raise TokenizerInvalid(f"The files of {FOLDER} in {base.folder} are not MiniLM's: {REMEDY}.") from error
    network.requires_grad_(False).eval()
    stream = tensors(base.folder, base.within(FOLDER), on_bytes=on_bytes)
    fill(network, stream, ignored=lambda name: name.startswith("pooler."))
    return MiniLmEncoder(identity, reader(tokenizer, token_limit), network, slots)
