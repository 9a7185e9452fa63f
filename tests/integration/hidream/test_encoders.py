"""HiDream's four text encoders give what diffusers' `encode_prompt` gives with networks of `from_pretrained`."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5EncoderModel,
    T5Tokenizer,
)

from onbrand.hidream.models import Precision
from onbrand.hidream.text.encode import Embeddings
from onbrand.hidream.text.encoders import HiDreamTextEncoder
from onbrand.packs.base import Base, load_base
from onbrand.storage.files import LocalFolder
from tests.integration.hidream.bases import repin
from tests.integration.hidream.networks import error
from tests.integration.hidream.text_encoders import MODEL, SHORT, SUFFIX, assert_same, copied, load
from tests.tiny import tiny_base, tiny_pipeline

PARTS = {
    "text_encoder": ("clips", CLIPTextModelWithProjection),
    "text_encoder_2": ("clips", CLIPTextModelWithProjection),
    "text_encoder_3": ("t5", T5EncoderModel),
    "text_encoder_4": ("llama", LlamaForCausalLM),
}


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


def pipeline_of(directory: Path, dtype: torch.dtype = torch.float32) -> Any:
    """diffusers' pipeline with the tokenizers and text encoders of a base."""
    pipeline = tiny_pipeline()
    classes = {"": CLIPTokenizer, "_2": CLIPTokenizer, "_3": T5Tokenizer, "_4": PreTrainedTokenizerFast}
    for end, kind in classes.items():
        tokenizer = kind.from_pretrained(directory / f"tokenizer{end}", local_files_only=True)
        if end == "_4":
            tokenizer.pad_token = tokenizer.eos_token  # as the pipeline's constructor does
        _, network = PARTS[f"text_encoder{end}"]
        encoder = network.from_pretrained(directory / f"text_encoder{end}", dtype=dtype, local_files_only=True)
        for parameter in encoder.parameters():
            # A tensor in a mapped file is not aligned, and the CPU's kernels round such tensors differently.
            parameter.data = parameter.data.clone()
        pipeline.register_modules(**{f"tokenizer{end}": tokenizer, f"text_encoder{end}": encoder.eval()})
    return pipeline


@torch.no_grad()
def by_diffusers(pipeline: Any, text: str, limit: int = 128) -> Embeddings:
    t5, _, llama3, _, pooled, _ = pipeline.encode_prompt(
        text, do_classifier_free_guidance=False, max_sequence_length=limit
    )
    return Embeddings(llama3, t5, pooled)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("limit", [64, 128, 250])
def test_a_prompt_that_fits_gives_what_diffusers_gives(
    directory: Path, base: Base, dtype: torch.dtype, limit: int
) -> None:
    precision = Precision.FLOAT32 if dtype == torch.float32 else Precision.BFLOAT16
    encoder, pipeline = load(base, precision, limit), pipeline_of(directory, dtype)
    for prompt in ("", SHORT):
        encoded = encoder.encode(prompt, SUFFIX)
        assert encoded.ignored == 0
        assert_same(encoded.embeddings, by_diffusers(pipeline, prompt + SUFFIX, limit))


def test_the_empty_negative_prompt_gives_what_diffusers_gives(directory: Path, encoder: HiDreamTextEncoder) -> None:
    assert_same(encoder.encode("", "").embeddings, by_diffusers(pipeline_of(directory), ""))


def test_clip_reads_at_most_218_tokens_and_t5_up_to_its_tokenizers_limit(base: Base) -> None:
    encoder = load(base, token_limit=512)
    assert [part.tokenizer.limit for part in (*encoder.clips, encoder.t5, encoder.llama)] == [218, 218, 512, 512]


def test_a_tokenizer_may_pad_on_the_left(directory: Path, tmp_path: Path) -> None:
    changed = copied(directory, tmp_path)
    path = tmp_path / "tokenizer_4" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"padding_side": "left"}))
    encoder = load(repin(changed, MODEL))
    assert_same(encoder.encode(SHORT, SUFFIX).embeddings, by_diffusers(pipeline_of(tmp_path), SHORT + SUFFIX))


def test_rope_scaling_of_llama_3_1_is_supported(directory: Path, tmp_path: Path) -> None:
    changed = copied(directory, tmp_path)
    path = tmp_path / "text_encoder_4" / "config.json"
    config = json.loads(path.read_text())
    config.pop("rope_parameters", None)
    # From config.json of meta-llama/Llama-3.1-8B-Instruct; the original context is shorter, so that scaling has an
    # effect.
    scaling = {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
        "rope_type": "llama3",
    }
    config |= {"rope_scaling": scaling, "rope_theta": 500000.0, "max_position_embeddings": 131072}
    path.write_text(json.dumps(config))
    encoder = load(repin(changed, MODEL))
    theirs = by_diffusers(pipeline_of(tmp_path), SHORT + SUFFIX)
    assert_same(encoder.encode(SHORT, SUFFIX).embeddings, theirs)
    assert not torch.equal(theirs.llama3, by_diffusers(pipeline_of(directory), SHORT + SUFFIX).llama3)


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.BFLOAT16])
def test_streamed_networks_equal_those_of_from_pretrained_including_buffers(
    directory: Path, base: Base, precision: Precision
) -> None:
    encoder = load(base, precision)
    dtype = torch.float32 if precision is Precision.FLOAT32 else torch.bfloat16
    pipeline = pipeline_of(directory, dtype)
    pairs = [
        (encoder.clips[0].network, pipeline.text_encoder),
        (encoder.clips[1].network, pipeline.text_encoder_2),
        (encoder.t5.network, pipeline.text_encoder_3.encoder),
        (encoder.llama.network, pipeline.text_encoder_4.model),
    ]
    for ours, theirs in pairs:
        assert not ours.training
        assert parameters_and_buffers(ours).keys() == parameters_and_buffers(theirs).keys()
        for name, tensor in parameters_and_buffers(theirs).items():
            mine = parameters_and_buffers(ours)[name]
            assert mine.dtype == tensor.dtype, name
            assert torch.equal(mine, tensor), name


def parameters_and_buffers(network: torch.nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def test_8_bit_is_near_bfloat16_and_does_not_change_the_clips(base: Base) -> None:
    exact = load(base).encode(SHORT, SUFFIX).embeddings
    eight = load(base, Precision.INT8)
    found = eight.encode(SHORT, SUFFIX).embeddings
    assert found.t5.dtype == found.llama3.dtype == torch.bfloat16
    assert eight.llama.network.layers[0].mlp.down_proj.weight.dtype == torch.int8
    assert eight.t5.network.block[0].layer[1].DenseReluDense.wo.weight.dtype == torch.int8
    bfloat16 = load(base, Precision.BFLOAT16).encode(SHORT, SUFFIX).embeddings
    assert torch.equal(found.pooled, bfloat16.pooled)
    assert error(found.t5, exact.t5) < 0.02
    assert error(found.llama3, exact.llama3) < 0.02


def test_8_bit_can_compute_in_float32(base: Base) -> None:
    found = load(base, Precision.INT8, dtype=torch.float32).encode(SHORT, SUFFIX).embeddings
    exact = load(base).encode(SHORT, SUFFIX).embeddings
    assert found.llama3.dtype == torch.float32
    assert 0 < error(found.llama3, exact.llama3) < 0.02


def test_loading_opens_no_connection(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    load(base)


def test_tokenizers_are_kept_for_the_next_start(directory: Path, tmp_path: Path) -> None:
    far, near = copied(directory, tmp_path / "far"), tmp_path / "near"
    base = repin(far, MODEL)
    first = load(base, directory=near)
    assert (near / base.id / "tokenizer_3" / "tokenizer.json").read_bytes() == (
        far / "tokenizer_3" / "tokenizer.json"
    ).read_bytes()
    for name in ("tokenizer", "tokenizer_2", "tokenizer_3", "tokenizer_4"):
        shutil.rmtree(far / name)
    again = load(base, directory=near)
    assert_same(again.encode(SHORT, SUFFIX).embeddings, first.encode(SHORT, SUFFIX).embeddings)


def test_no_prompt_is_logged(base: Base, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level("DEBUG")
    encoder = load(base)
    encoder.encode("zebra " * 100, SUFFIX)
    assert "zebra" not in caplog.text + "".join(capfd.readouterr())
