"""Cutting a long prompt to the token limits of the text encoders; the brand's suffix is never cut."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers
from transformers import CLIPTokenizer, T5Tokenizer

from onbrand.errors import PromptSuffixTooLong
from onbrand.hidream.models import MODELS, Precision
from onbrand.hidream.text.encode import PromptTokenizer, make_prompt_tokenizer, truncate_prompt
from onbrand.hidream.text.encoders import HiDreamTextEncoder
from onbrand.hidream.text.load_encoders import load_text_encoder
from tests.tiny import tiny_base

MODEL = "hidream-i1-dev"
SUFFIX = ", onbrand style"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> HiDreamTextEncoder:
    base = tiny_base(tmp_path_factory.mktemp("base"), MODEL)
    encoder = load_text_encoder(
        base, MODELS[MODEL], token_limit=128, precision=Precision.FLOAT32, device=torch.device("cpu")
    )
    assert isinstance(encoder, HiDreamTextEncoder)
    return encoder


def tokenizers_of(encoder: HiDreamTextEncoder) -> list[PromptTokenizer]:
    return [part.tokenizer for part in (*encoder.clips, encoder.t5, encoder.llama)]


def test_a_long_prompt_is_cut_for_each_encoder_separately(encoder: HiDreamTextEncoder) -> None:
    # The tiny CLIPs have one token for each byte, four for each emoji. T5 knows no emoji and makes one token of them
    # all.
    prompt = "🍔" * 60
    ids, ignored = truncate_prompt(tokenizers_of(encoder), prompt, SUFFIX)
    suffix = len(encoder.clips[0].tokenizer.ids(SUFFIX)) - 2
    read = (128 - 2 - suffix) // 4
    assert ignored == 60 - read
    assert len(ids[0]) == 2 + suffix + 4 * read
    assert len(ids[2]) < 30
    assert encoder.encode(prompt, SUFFIX).ignored == ignored


def test_all_encoders_read_the_whole_suffix(encoder: HiDreamTextEncoder) -> None:
    ids, ignored = truncate_prompt(tokenizers_of(encoder), "a kettle on a table " * 25, SUFFIX)
    assert ignored > 0
    for part, tokens in zip(tokenizers_of(encoder), ids, strict=True):
        assert part.limit - 3 <= len(tokens) <= part.limit
        assert part.tokenizer.decode(tokens).replace(" ", "").endswith(SUFFIX.replace(" ", ""))


def test_a_cut_prompt_gives_the_embeddings_of_the_shorter_prompt(encoder: HiDreamTextEncoder) -> None:
    prompt = "a kettle on a table " * 25
    clip = encoder.clips[0].tokenizer
    read = clip.fitting_length(prompt, SUFFIX)
    assert 0 < read < len(prompt)
    shorter = encoder.encode(prompt[:read], SUFFIX).embeddings
    assert torch.equal(encoder.encode(prompt, SUFFIX).embeddings.pooled, shorter.pooled)


def test_special_tokens_are_plain_text_in_a_prompt(encoder: HiDreamTextEncoder) -> None:
    text = "<|startoftext|> a <|endoftext|> b <|eot_id|> c <|begin_of_text|>" + SUFFIX
    for part in encoder.clips:  # CLIP's output is taken at the end token
        start, *tokens, end = part.tokenizer.ids(text)
        assert (start, end) == (512, 513)
        assert not {512, 513} & set(tokens)
    start, *tokens = encoder.llama.tokenizer.ids(text)
    assert start == 0
    assert not {0, 1} & set(tokens)


def test_a_suffix_that_is_too_long_is_refused(encoder: HiDreamTextEncoder) -> None:
    for prompt in ("", "a kettle", " "):
        with pytest.raises(PromptSuffixTooLong, match="prompt_suffix"):
            encoder.encode(prompt, "brand " * 60)


def kettle_tokenizer() -> CLIPTokenizer:
    """A tokenizer with one token for `kettle` but two for parts of it, because ends of words have their own tokens."""
    parts = ["k", "e", "t", "l", "ke", "ket", "kett", "kettl"]
    ends = ["k</w>", "e</w>", "t</w>", "l</w>", "kettle</w>"]
    tokens = [*parts, *ends, "<|startoftext|>", "<|endoftext|>"]
    merges = [("k", "e"), ("ke", "t"), ("ket", "t"), ("kett", "l"), ("kettl", "e</w>")]
    return CLIPTokenizer(vocab={token: n for n, token in enumerate(tokens)}, merges=merges)


def test_a_cut_that_gives_more_tokens_is_repeated() -> None:
    clip = make_prompt_tokenizer(kettle_tokenizer().backend_tokenizer, 5)
    assert [len(clip.ids(text)) for text in ("kettle kettle kettle", "kettle kettle kett", "kettle kettle k")] == [
        5,
        6,
        5,
    ]
    assert clip.fitting_length("kettle kettle kettle", "") == 20
    assert clip.fitting_length("kettle kettle kettl", "") == len("kettle kettle k")


def word_tokenizer(*words: str) -> Tokenizer:
    """A tokenizer with a token for each of these words; the letters after the longest match get a token each."""
    tokens = ["?", "a", *(f"##{letter}" for letter in "bcdef"), *words]
    return Tokenizer(models.WordPiece({token: n for n, token in enumerate(tokens)}, unk_token="?"))


def test_the_reported_cut_fits_for_all_encoders() -> None:
    spells, knows_three, knows_five = (
        word_tokenizer(),
        word_tokenizer("abcdef", "abc"),
        word_tokenizer("abcdef", "abcde"),
    )
    tokenizers = [
        make_prompt_tokenizer(knows_five, 1),
        make_prompt_tokenizer(spells, 5),
        make_prompt_tokenizer(knows_three, 1),
    ]
    ids, ignored = truncate_prompt(tokenizers, "abcdef", "")
    assert [len(tokens) for tokens in ids] == [1, 5, 1]
    # The second tokenizer fits five letters. Of these the third fits three, and of these the first fits only one.
    assert ignored == 5
    assert truncate_prompt(tokenizers, "a", "")[1] == 0


def tokenizer_makers(encoder: HiDreamTextEncoder) -> dict[str, Callable[[int], PromptTokenizer]]:
    """Tokenizers for any limit: those of the encoders, the kettle one, and one that normalizes as the real T5 does."""
    nfkc = T5Tokenizer(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("k", -3.0), ("ﬁ", -4.0)])
    nfkc.backend_tokenizer.normalizer = normalizers.NFKC()
    found = {
        "clip": encoder.clips[0].tokenizer.tokenizer,
        "t5": encoder.t5.tokenizer.tokenizer,
        "llama": encoder.llama.tokenizer.tokenizer,
        "kettles": make_prompt_tokenizer(kettle_tokenizer().backend_tokenizer, 0).tokenizer,
        "nfkc": make_prompt_tokenizer(nfkc.backend_tokenizer, 0).tokenizer,
    }
    return {name: partial(PromptTokenizer, tokenizer) for name, tokenizer in found.items()}


# Words, CJK, emoji of several code points, letters with marks, ligatures and units that NFKC splits, spaces.
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
def test_the_prompt_without_the_ignored_part_fits(
    encoder: HiDreamTextEncoder, prompt: str, limit: int, suffix: str
) -> None:
    tokenizers = [make(limit) for make in tokenizer_makers(encoder).values()]
    ids, ignored = truncate_prompt(tokenizers, prompt, suffix)
    assert all(len(tokens) <= limit for tokens in ids)
    _, again = truncate_prompt(tokenizers, prompt[: len(prompt) - ignored], suffix)
    assert again == 0
    for each, tokens in zip(tokenizers, ids, strict=True):
        assert (each.limit >= len(each.ids(prompt + suffix))) == (each.fitting_length(prompt, suffix) == len(prompt))
        (alone,), cut = truncate_prompt([each], prompt, suffix)
        assert alone == tokens
        assert truncate_prompt([each], prompt[: len(prompt) - cut], suffix) == ([tokens], 0)
