"""A base with random weights in the published shapes, for `onbrand bench --random`.

The speed of a model depends on its shapes and not on the values of its weights. The numbers are generated while they
are read, so no disk and no download is needed. The code that loads weights treats it like a real base, including
checksums. The pictures are noise.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import ascii_lowercase
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from onbrand.errors import WeightsMissing
from onbrand.hidream.load import probe_lora
from onbrand.hidream.models import MODELS, Precision
from onbrand.hidream.network.transformer import empty_transformer
from onbrand.hidream.packaging.build import LORA, build_pack
from onbrand.hidream.weights.prepared import shards
from onbrand.packs.base import Base, BaseManifest, Source
from onbrand.packs.manifest import BrandPack
from onbrand.storage.files import Folder, ManifestFile
from onbrand.storage.safetensors_header import LENGTH_BYTES

_SHARD_BYTES = 4 * 10**9
_PERIOD = 524_309  # the numbers repeat after this many; a prime, so that no two rows of a matrix begin alike
_RANK = 16
_EFFECT = 0.01


@dataclass(frozen=True)
class _Shard:
    """A `.safetensors` file that is generated when it is read."""

    header: bytes
    tensors: Sequence[tuple[str, Tensor]]  # on the meta device

    def blocks(self) -> Iterator[memoryview]:
        yield memoryview(self.header)
        for name, tensor in self.tensors:
            numbers, left = _numbers(_standard_deviation(name, tensor)), 2 * tensor.numel()
            begin = 2 * (zlib.crc32(name.encode()) % _PERIOD)  # so that no two matrices are equal
            while left:
                block = numbers[begin : begin + left]
                yield block
                left, begin = left - len(block), 0


class RandomFolder(Folder):
    """A folder of generated files. They are the same each time they are read."""

    def __init__(self, documents: Mapping[str, bytes], shards: Mapping[str, _Shard]) -> None:
        self._documents = documents
        self._shards = shards

    def __str__(self) -> str:
        return "random weights"

    def open(self, path: str) -> _Reader:
        """Open a file."""
        if path in self._shards:
            return _Reader(self._shards[path].blocks())
        if path in self._documents:
            return _Reader(iter([memoryview(self._documents[path])]))
        raise WeightsMissing(f"There is no file {path} among the random weights: this is a bug in Onbrand.")

    def manifest(self, model: str) -> BaseManifest:
        """Make the manifest, as `base.json` would have it. Every byte is generated once for it, on all cores."""
        paths = sorted((*self._documents, *self._shards))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            files = tuple(pool.map(self._file_entry, paths))
        sources = tuple(Source(folder, "random numbers", "") for folder in MODELS[model].components)
        return BaseManifest(1, model, sources, files)

    def _file_entry(self, path: str) -> ManifestFile:
        size, digest = 0, hashlib.sha256()
        for block in self.blocks(path):
            size += len(block)
            digest.update(block)
        return ManifestFile(path, size, digest.hexdigest())


class _Reader:
    def __init__(self, blocks: Iterator[memoryview]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readinto(self, room: memoryview) -> int:
        filled = 0
        while filled < len(room):
            if not self._rest:
                self._rest = next(self._blocks, memoryview(b""))
            if not self._rest:
                break
            count = min(len(room) - filled, len(self._rest))
            room[filled : filled + count] = self._rest[:count]
            filled, self._rest = filled + count, self._rest[count:]
        return filled

    def close(self) -> None:
        """Do nothing."""


def random_base(model: str, configurations: Mapping[str, Mapping[str, Any]]) -> Base:
    """Make a base for a model of the table, in bfloat16 and in several shards. `configurations` are by folder.

    The tokenizers make one token of each letter. Every text is padded to the model's limit, so this does not change the
    cost.
    """
    documents = {f"{folder}/config.json": json.dumps(config).encode() for folder, config in configurations.items()}
    files = {}
    for folder, config in configurations.items():
        for number, shard in enumerate(shards(_network(config), _SHARD_BYTES)):
            files[f"{folder}/model-{number:05}.safetensors"] = _Shard(_header(shard), tuple(shard.items()))
    for folder, tokenizer in _tokenizers(configurations["text_encoder"]["bos_token_id"]).items():
        with TemporaryDirectory(prefix="onbrand-") as directory:
            tokenizer.save_pretrained(directory)
            for path in Path(directory).iterdir():
                documents[f"{folder}/{path.name}"] = path.read_bytes()
    random_folder = RandomFolder(documents, files)
    return Base(random_folder, random_folder.manifest(model))


def random_pack(base: Base, directory: Path) -> BrandPack:
    """Make a brand pack for `base` with a random LoRA of rank 16 on attention, text and shared feed-forwards."""
    transformer = empty_transformer(json.loads(base.read("transformer/config.json")), Precision.BFLOAT16)
    generator = torch.Generator().manual_seed(0)
    weights: dict[str, Tensor] = {}
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear) and (".attn1." in name or ".ff_" in name):
            down = torch.randn(_RANK, module.in_features, generator=generator) / module.in_features**0.5
            up = _EFFECT * torch.randn(module.out_features, _RANK, generator=generator)
            weights |= {f"transformer.{name}.lora_A.weight": down, f"transformer.{name}.lora_B.weight": up}
    directory.mkdir(parents=True, exist_ok=True)
    save_file(weights, directory / LORA, {"format": "pt"})
    return build_pack(
        base,
        directory / LORA,
        directory / "pack",
        name="Random brand",
        version="1",
        prompt_suffix=", onbrand style",
        alpha=float(_RANK),
        probe=probe_lora,
    )


def _network(config: Mapping[str, Any]) -> nn.Module:
    """Build the network that the configuration describes, on the meta device, in bfloat16."""
    import diffusers
    import transformers

    with torch.device("meta"):
        if "_class_name" in config:
            network = getattr(diffusers, config["_class_name"]).from_config(dict(config))
        else:
            network_class = getattr(transformers, config["architectures"][0])
            network = network_class(network_class.config_class.from_dict(dict(config)))
    moved: nn.Module = nn.Module.to(network, torch.bfloat16)  # diffusers' `to` logs a needless warning
    return moved


def _header(tensors: Mapping[str, Tensor]) -> bytes:
    """Make the header of a `.safetensors` file: https://github.com/huggingface/safetensors#format"""
    entries, begin = {}, 0
    for name, tensor in tensors.items():
        end = begin + 2 * tensor.numel()
        entries[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [begin, end]}
        begin = end
    document = json.dumps(entries).encode()
    document += b" " * (-len(document) % 8)
    return len(document).to_bytes(LENGTH_BYTES, "little") + document


def _standard_deviation(name: str, tensor: Tensor) -> float:
    """The standard deviation with which a matrix keeps the size of its input; 0 for norms, whose weights are all 1."""
    if tensor.ndim == 1:
        return 0.0 if name.endswith("weight") else 0.02
    return float((tensor.numel() / len(tensor)) ** -0.5)


@cache
def _numbers(deviation: float) -> memoryview:
    """`_PERIOD` bfloat16 numbers, as bytes."""
    numbers = torch.ones(_PERIOD)
    if deviation:
        numbers = deviation * torch.randn(_PERIOD, generator=torch.Generator().manual_seed(0))
    return memoryview(numbers.bfloat16().view(torch.uint8).numpy().tobytes())


def _tokenizers(clip_begin: int) -> dict[str, Any]:
    """Tokenizers by folder of the base. Texts for CLIP begin with the token `clip_begin` and end with the next one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import CLIPTokenizer, PreTrainedTokenizerFast, T5Tokenizer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {token: n for n, token in enumerate([*alphabet, *(f"{symbol}</w>" for symbol in alphabet)])}
    clip = CLIPTokenizer(
        vocab=ids | {"<|startoftext|>": clip_begin, "<|endoftext|>": clip_begin + 1}, merges=[], model_max_length=248
    )
    # T5 needs its special tokens in this order, because their ids are fixed.
    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        *((letter, -3.0) for letter in f"▁{ascii_lowercase}"),
    ]
    special = ("<|begin_of_text|>", "<|eot_id|>")
    letters = Tokenizer(models.BPE({token: n for n, token in enumerate([*alphabet, *special])}, []))
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters.decoder = decoders.ByteLevel()
    letters.post_processor = processors.TemplateProcessing(
        single=f"{special[0]} $A", special_tokens=[(special[0], len(alphabet))]
    )
    llama = PreTrainedTokenizerFast(
        tokenizer_object=letters, bos_token=special[0], eos_token=special[1], model_max_length=131_072
    )
    t5 = T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=512)
    return {"tokenizer": clip, "tokenizer_2": clip, "tokenizer_3": t5, "tokenizer_4": llama}
