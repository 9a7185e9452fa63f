"""Loading HiDream's text encoders: all known tensor names are read, and other or damaged files are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from onbrand.errors import (
    ChecksumMismatch,
    NetworkConfigInvalid,
    TensorsMismatch,
    TokenizerInvalid,
)
from onbrand.hidream.text.encoders import HiDreamTextEncoder
from onbrand.packs.base import Base, load_base
from onbrand.storage.files import LocalFolder
from tests.integration.hidream.bases import repin
from tests.integration.hidream.text_encoders import MODEL, SHORT, SUFFIX, assert_same, copied, load
from tests.tiny import tiny_base


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny_base(folder, MODEL)
    return folder


@pytest.fixture(scope="module")
def base(directory: Path) -> Base:
    return load_base(LocalFolder(directory))


@pytest.fixture(scope="module")
def encoder(base: Base) -> HiDreamTextEncoder:
    return load(base)


def renamed_base(
    directory: Path, to: Path, part: str, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> Base:
    copied(directory, to)
    path = to / part / "model.safetensors"
    save_file({name: tensor.clone() for name, tensor in change(load_file(path)).items()}, path)
    return repin(to, MODEL)


def plus(name: str, tensor: Tensor) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda weights: {**weights, name: tensor}


def both_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**weights, "encoder.embed_tokens.weight": weights["shared.weight"]}


def other_name(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    weights = both_names(weights)
    del weights["shared.weight"]
    return weights


def llama_alone(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("model."): tensor for name, tensor in weights.items() if name != "lm_head.weight"}


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("text_encoder", plus("text_model.embeddings.position_ids", torch.arange(248).expand(1, -1))),
        ("text_encoder_3", both_names),
        ("text_encoder_3", other_name),
        ("text_encoder_4", llama_alone),
    ],
)
def test_all_known_names_of_the_weights_are_read(
    directory: Path, encoder: HiDreamTextEncoder, tmp_path: Path, part: str, change: Any
) -> None:
    loaded = load(renamed_base(directory, tmp_path, part, change))
    assert_same(loaded.encode(SHORT, SUFFIX).embeddings, encoder.encode(SHORT, SUFFIX).embeddings)


def renamed(old: str, new: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda weights: {name.replace(old, new, 1): tensor for name, tensor in weights.items()}


def unequal_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**weights, "encoder.embed_tokens.weight": weights["shared.weight"] + 1}


def half_renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return renamed("model.norm.weight", "norm.weight")(weights)


def without_last(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    del weights[max(weights)]
    return weights


@pytest.mark.parametrize(
    ("part", "change", "sentence"),
    [
        ("text_encoder", renamed("text_model.", ""), "does not have"),
        ("text_encoder_2", plus("logit_scale", torch.ones(1)), "does not have"),
        ("text_encoder_2", without_last, "weights lack"),
        ("text_encoder_3", unequal_names, "differ"),
        ("text_encoder_3", renamed("encoder.", ""), "does not have"),
        ("text_encoder_3", plus("decoder.final_layer_norm.weight", torch.ones(32)), "does not have"),
        ("text_encoder_3", without_last, "weights lack"),
        ("text_encoder_4", half_renamed, "named in two ways"),
        ("text_encoder_3", renamed("encoder.final", "final"), "does not have"),
        ("text_encoder_4", renamed("model.", "model.model."), "does not have"),
        ("text_encoder_4", plus("lm_head.bias", torch.ones(2)), "does not have"),
        ("text_encoder_4", renamed("model.norm.weight", "model.norm.bias"), "does not have"),
    ],
)
def test_any_other_name_is_refused(directory: Path, tmp_path: Path, part: str, change: Any, sentence: str) -> None:
    with pytest.raises(TensorsMismatch, match=sentence):
        load(renamed_base(directory, tmp_path, part, change))


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("text_encoder/config.json", b"[]", "not a CLIPTextModelWithProjection"),
        ("text_encoder_3/config.json", b"{", "not a T5EncoderModel"),
        ("text_encoder_4/config.json", b'{"hidden_size": "wide"}', "not a LlamaModel"),
        ("tokenizer_2/tokenizer.json", b"{}", "tokenizer_2"),
        ("tokenizer_4/tokenizer.json", b"\xff\xfe", "tokenizer_4"),
    ],
)
def test_files_of_another_model_are_refused(
    directory: Path, tmp_path: Path, file: str, content: bytes, sentence: str
) -> None:
    (copied(directory, tmp_path) / file).write_bytes(content)
    expected = TokenizerInvalid if file.startswith("tokenizer") else NetworkConfigInvalid
    with pytest.raises(expected, match=sentence):
        load(repin(tmp_path, MODEL))


def test_a_clip_of_77_tokens_is_refused(directory: Path, tmp_path: Path) -> None:
    path = copied(directory, tmp_path) / "text_encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_position_embeddings": 77}))
    with pytest.raises(NetworkConfigInvalid, match="long-context"):
        load(repin(tmp_path, MODEL))


@pytest.mark.parametrize("file", ["text_encoder_4/model.safetensors", "tokenizer_3/tokenizer.json"])
def test_a_flipped_bit_is_refused(directory: Path, tmp_path: Path, file: str) -> None:
    base = repin(copied(directory, tmp_path), MODEL)
    path = tmp_path / file
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChecksumMismatch, match="differs from its checksum"):
        load(base)
