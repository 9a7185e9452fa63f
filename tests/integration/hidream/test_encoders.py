"""HiDream's four text encoders beside diffusers' `encode_prompt`, with the networks as `from_pretrained` loads them."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers
from torch import Tensor
from transformers import (
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5EncoderModel,
    T5Tokenizer,
)

from onbrand.errors import (
    ChecksumMismatch,
    NetworkConfigInvalid,
    PromptSuffixTooLong,
    TensorsMismatch,
    TokenizerInvalid,
)
from onbrand.hidream.models import MODELS, Precision
from onbrand.hidream.text.encode import Embeddings, PromptTokenizer, reader, truncate_prompt
from onbrand.hidream.text.encoders import FourEncoders, load_text_encoder
from onbrand.packs.base import Base, load_base
from onbrand.storage.files import LocalFolder
from tests.integration.hidream.bases import listed_anew
from tests.integration.hidream.networks import error
from tests.tiny import tiny_base, tiny_pipeline

MODEL = "hidream-i1-dev"
SUFFIX = ", onbrand style"
SHORT = "a squirrel eating 汉堡 🍔"
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
def encoder(base: Base) -> FourEncoders:
    return load(base)


def load(base: Base, precision: Precision = Precision.FLOAT32, token_limit: int = 128, **how: Any) -> FourEncoders:
    encoder = load_text_encoder(
        base, MODELS[MODEL], token_limit=token_limit, precision=precision, device=torch.device("cpu"), **how
    )
    assert isinstance(encoder, FourEncoders)
    return encoder


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
            # Out of a mapped file it isn't aligned, and the CPU's kernels for that round differently.
            parameter.data = parameter.data.clone()
        pipeline.register_modules(**{f"tokenizer{end}": tokenizer, f"text_encoder{end}": encoder.eval()})
    return pipeline


@torch.no_grad()
def by_diffusers(pipeline: Any, text: str, limit: int = 128) -> Embeddings:
    t5, _, llama3, _, pooled, _ = pipeline.encode_prompt(
        text, do_classifier_free_guidance=False, max_sequence_length=limit
    )
    return Embeddings(llama3, t5, pooled)


def assert_same(ours: Embeddings, theirs: Embeddings) -> None:
    for name in ("llama3", "t5", "pooled"):
        mine, its = getattr(ours, name), getattr(theirs, name)
        assert (mine.shape, mine.dtype) == (its.shape, its.dtype), name
        assert torch.equal(mine, its), name


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


def test_the_empty_negative_prompt_gives_what_diffusers_gives(directory: Path, encoder: FourEncoders) -> None:
    assert_same(encoder.encode("", "").embeddings, by_diffusers(pipeline_of(directory), ""))


def test_clip_reads_at_most_218_tokens_and_t5_what_its_tokenizer_says(base: Base) -> None:
    encoder = load(base, token_limit=512)
    assert [part.reader.limit for part in (*encoder.clips, encoder.t5, encoder.llama)] == [218, 218, 512, 512]


def test_a_tokenizer_that_pads_on_the_left_is_followed(directory: Path, tmp_path: Path) -> None:
    changed = copied(directory, tmp_path)
    path = tmp_path / "tokenizer_4" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"padding_side": "left"}))
    encoder = load(listed_anew(changed, MODEL))
    assert_same(encoder.encode(SHORT, SUFFIX).embeddings, by_diffusers(pipeline_of(tmp_path), SHORT + SUFFIX))


def test_rope_scaling_as_llama_3_1_has_it_is_followed(directory: Path, tmp_path: Path) -> None:
    changed = copied(directory, tmp_path)
    path = tmp_path / "text_encoder_4" / "config.json"
    config = json.loads(path.read_text())
    config.pop("rope_parameters", None)
    # meta-llama/Llama-3.1-8B-Instruct, config.json, with a shorter original context so that it matters here
    scaling = {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
        "rope_type": "llama3",
    }
    config |= {"rope_scaling": scaling, "rope_theta": 500000.0, "max_position_embeddings": 131072}
    path.write_text(json.dumps(config))
    encoder = load(listed_anew(changed, MODEL))
    theirs = by_diffusers(pipeline_of(tmp_path), SHORT + SUFFIX)
    assert_same(encoder.encode(SHORT, SUFFIX).embeddings, theirs)
    assert not torch.equal(theirs.llama3, by_diffusers(pipeline_of(directory), SHORT + SUFFIX).llama3)


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.BFLOAT16])
def test_streamed_networks_are_those_of_from_pretrained_buffers_included(
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
        assert everything(ours).keys() == everything(theirs).keys()
        for name, tensor in everything(theirs).items():
            mine = everything(ours)[name]
            assert mine.dtype == tensor.dtype, name
            assert torch.equal(mine, tensor), name


def everything(network: torch.nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def test_8_bit_is_near_bfloat16_and_leaves_the_clips_alone(base: Base) -> None:
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


def test_8_bit_can_sum_in_float32(base: Base) -> None:
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
    base = listed_anew(far, MODEL)
    first = load(base, directory=near)
    assert (near / base.id / "tokenizer_3" / "tokenizer.json").read_bytes() == (
        far / "tokenizer_3" / "tokenizer.json"
    ).read_bytes()
    for name in ("tokenizer", "tokenizer_2", "tokenizer_3", "tokenizer_4"):
        shutil.rmtree(far / name)
    again = load(base, directory=near)
    assert_same(again.encode(SHORT, SUFFIX).embeddings, first.encode(SHORT, SUFFIX).embeddings)


def copied(directory: Path, to: Path) -> Path:
    """A copy of what encoding needs."""
    for part in directory.iterdir():
        if part.name.startswith(("text_encoder", "tokenizer")):
            shutil.copytree(part, to / part.name)
    return to


# -- other spellings of the same weights, and what is no such spelling


def respelled(directory: Path, to: Path, part: str, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Base:
    copied(directory, to)
    path = to / part / "model.safetensors"
    save_file({name: tensor.clone() for name, tensor in change(load_file(path)).items()}, path)
    return listed_anew(to, MODEL)


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
def test_every_known_spelling_of_the_weights_is_read(
    directory: Path, encoder: FourEncoders, tmp_path: Path, part: str, change: Any
) -> None:
    respelt = load(respelled(directory, tmp_path, part, change))
    assert_same(respelt.encode(SHORT, SUFFIX).embeddings, encoder.encode(SHORT, SUFFIX).embeddings)


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
        ("text_encoder", renamed("text_model.", ""), "no place for"),
        ("text_encoder_2", plus("logit_scale", torch.ones(1)), "no place for"),
        ("text_encoder_2", without_last, "weights lack"),
        ("text_encoder_3", unequal_names, "differ"),
        ("text_encoder_3", renamed("encoder.", ""), "no place for"),
        ("text_encoder_3", plus("decoder.final_layer_norm.weight", torch.ones(32)), "no place for"),
        ("text_encoder_3", without_last, "weights lack"),
        ("text_encoder_4", half_renamed, "named in two ways"),
        ("text_encoder_3", renamed("encoder.final", "final"), "no place for"),
        ("text_encoder_4", renamed("model.", "model.model."), "no place for"),
        ("text_encoder_4", plus("lm_head.bias", torch.ones(2)), "no place for"),
        ("text_encoder_4", renamed("model.norm.weight", "model.norm.bias"), "no place for"),
    ],
)
def test_any_other_name_is_refused(directory: Path, tmp_path: Path, part: str, change: Any, sentence: str) -> None:
    with pytest.raises(TensorsMismatch, match=sentence):
        load(respelled(directory, tmp_path, part, change))


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
        load(listed_anew(tmp_path, MODEL))


def test_a_clip_of_77_tokens_is_refused(directory: Path, tmp_path: Path) -> None:
    path = copied(directory, tmp_path) / "text_encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_position_embeddings": 77}))
    with pytest.raises(NetworkConfigInvalid, match="long-context"):
        load(listed_anew(tmp_path, MODEL))


@pytest.mark.parametrize("file", ["text_encoder_4/model.safetensors", "tokenizer_3/tokenizer.json"])
def test_a_flipped_bit_is_refused(directory: Path, tmp_path: Path, file: str) -> None:
    base = listed_anew(copied(directory, tmp_path), MODEL)
    path = tmp_path / file
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChecksumMismatch, match="differs from its checksum"):
        load(base)


# -- prompts that are too long


def readers_of(encoder: FourEncoders) -> list[PromptTokenizer]:
    return [part.reader for part in (*encoder.clips, encoder.t5, encoder.llama)]


def test_too_long_a_prompt_is_cut_for_each_encoder_by_itself(encoder: FourEncoders) -> None:
    # The tiny CLIPs read a byte a token, four for each of these; T5 knows none of them and takes a run as one.
    prompt = "🍔" * 60
    ids, ignored = truncate_prompt(readers_of(encoder), prompt, SUFFIX)
    suffix = len(encoder.clips[0].reader.ids(SUFFIX)) - 2
    read = (128 - 2 - suffix) // 4
    assert ignored == 60 - read
    assert len(ids[0]) == 2 + suffix + 4 * read
    assert len(ids[2]) < 30
    assert encoder.encode(prompt, SUFFIX).ignored == ignored


def test_the_brands_suffix_is_read_to_its_end_by_all(encoder: FourEncoders) -> None:
    ids, ignored = truncate_prompt(readers_of(encoder), "a kettle on a table " * 25, SUFFIX)
    assert ignored > 0
    for part, tokens in zip(readers_of(encoder), ids, strict=True):
        assert part.limit - 3 <= len(tokens) <= part.limit
        assert part.tokenizer.decode(tokens).replace(" ", "").endswith(SUFFIX.replace(" ", ""))


def test_a_cut_prompt_gives_the_embeddings_of_the_shorter_prompt(encoder: FourEncoders) -> None:
    prompt = "a kettle on a table " * 25
    clip = encoder.clips[0].reader
    read = clip.readable(prompt, SUFFIX)
    assert 0 < read < len(prompt)
    shorter = encoder.encode(prompt[:read], SUFFIX).embeddings
    assert torch.equal(encoder.encode(prompt, SUFFIX).embeddings.pooled, shorter.pooled)


def test_special_tokens_are_plain_text_in_a_prompt(encoder: FourEncoders) -> None:
    text = "<|startoftext|> a <|endoftext|> b <|eot_id|> c <|begin_of_text|>" + SUFFIX
    for part in encoder.clips:  # whose answer is taken where the text ends
        start, *tokens, end = part.reader.ids(text)
        assert (start, end) == (512, 513)
        assert not {512, 513} & set(tokens)
    start, *tokens = encoder.llama.reader.ids(text)
    assert start == 0
    assert not {0, 1} & set(tokens)


def test_a_suffix_that_is_too_long_is_refused(encoder: FourEncoders) -> None:
    for prompt in ("", "a kettle", " "):
        with pytest.raises(PromptSuffixTooLong, match="prompt_suffix"):
            encoder.encode(prompt, "brand " * 60)


def test_no_prompt_is_logged(base: Base, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level("DEBUG")
    encoder = load(base)
    encoder.encode("zebra " * 100, SUFFIX)
    assert "zebra" not in caplog.text + "".join(capfd.readouterr())


def knowing_kettles() -> CLIPTokenizer:
    """For which `kettle` is one token, but a part of that word is two: the end of a word has tokens of its own."""
    parts = ["k", "e", "t", "l", "ke", "ket", "kett", "kettl"]
    ends = ["k</w>", "e</w>", "t</w>", "l</w>", "kettle</w>"]
    tokens = [*parts, *ends, "<|startoftext|>", "<|endoftext|>"]
    merges = [("k", "e"), ("ke", "t"), ("ket", "t"), ("kett", "l"), ("kettl", "e</w>")]
    return CLIPTokenizer(vocab={token: n for n, token in enumerate(tokens)}, merges=merges)


def test_a_cut_that_makes_more_tokens_is_made_again() -> None:
    clip = reader(knowing_kettles().backend_tokenizer, 5)
    assert [len(clip.ids(text)) for text in ("kettle kettle kettle", "kettle kettle kett", "kettle kettle k")] == [
        5,
        6,
        5,
    ]
    assert clip.readable("kettle kettle kettle", "") == 20
    assert clip.readable("kettle kettle kettl", "") == len("kettle kettle k")


def knowing(*words: str) -> Tokenizer:
    """Reads these words as a token each, and the letters behind the longest one it knows one by one."""
    tokens = ["?", "a", *(f"##{letter}" for letter in "bcdef"), *words]
    return Tokenizer(models.WordPiece({token: n for n, token in enumerate(tokens)}, unk_token="?"))


def test_what_some_cannot_read_is_left_out_until_all_can() -> None:
    spells, knows_three, knows_five = knowing(), knowing("abcdef", "abc"), knowing("abcdef", "abcde")
    readers = [reader(knows_five, 1), reader(spells, 5), reader(knows_three, 1)]
    ids, ignored = truncate_prompt(readers, "abcdef", "")
    assert [len(tokens) for tokens in ids] == [1, 5, 1]
    # The speller leaves five letters, of which the one that knows three reads those; the other then reads one.
    assert ignored == 5
    assert truncate_prompt(readers, "a", "")[1] == 0


def tokenizers(encoder: FourEncoders) -> dict[str, Callable[[int], PromptTokenizer]]:
    """Readers of any limit: those of the four, one with words, and one that normalises as T5's real one does."""
    nfkc = T5Tokenizer(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("k", -3.0), ("ﬁ", -4.0)])
    nfkc.backend_tokenizer.normalizer = normalizers.NFKC()
    found = {
        "clip": encoder.clips[0].reader.tokenizer,
        "t5": encoder.t5.reader.tokenizer,
        "llama": encoder.llama.reader.tokenizer,
        "kettles": reader(knowing_kettles().backend_tokenizer, 0).tokenizer,
        "nfkc": reader(nfkc.backend_tokenizer, 0).tokenizer,
    }
    return {
        name: lambda limit, tokenizer=tokenizer: PromptTokenizer(tokenizer, limit) for name, tokenizer in found.items()
    }


# Words, CJK, emoji of several code points, letters with marks, ligatures and units that NFKC takes apart, blanks.
PIECES = [
    "kettle",
    " ",
    "  ",
    "a",
    ",",
    "!",
    "'s",
    "é",
    "e\u0301",
    "한국",
    "中文",
    "🍔",
    "👩‍👩‍👧",
    "🇨🇭",
    "ﬁ",
    "㎏",
    "½",
    "ﷺ",
    "Å",
    "İ",
    "\u00a0",
    "७",
]
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=60).map("".join),
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=100),
)


@given(TEXTS, st.integers(40, 80), st.sampled_from([", onbrand style", " style", "", "! x"]))
def test_what_is_said_to_be_read_is_read(encoder: FourEncoders, prompt: str, limit: int, suffix: str) -> None:
    readers = [make(limit) for make in tokenizers(encoder).values()]
    ids, ignored = truncate_prompt(readers, prompt, suffix)
    assert all(len(tokens) <= limit for tokens in ids)
    _, again = truncate_prompt(readers, prompt[: len(prompt) - ignored], suffix)
    assert again == 0
    for each, tokens in zip(readers, ids, strict=True):
        assert (each.limit >= len(each.ids(prompt + suffix))) == (each.readable(prompt, suffix) == len(prompt))
        (alone,), cut = truncate_prompt([each], prompt, suffix)
        assert alone == tokens
        assert truncate_prompt([each], prompt[: len(prompt) - cut], suffix) == ([tokens], 0)
