"""Remembered embeddings: the same as fresh ones, bounded, and encoded one at a time, with the mini model's encoder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock
from typing import Any

import pytest
import torch

from onbrand.errors import PromptSuffixTooLong
from onbrand.hidream.models import MODELS, Precision
from onbrand.hidream.text.embedding_cache import PromptCache
from onbrand.hidream.text.encode import Embeddings, Encoded
from onbrand.hidream.text.encoders import load_text_encoder
from onbrand.hidream.text.minilm import MiniLmEncoder
from onbrand.packs.base import load_base
from onbrand.storage.files import LocalFolder

MINI = Path(__file__).parents[3] / "models" / "mini"
SUFFIX = ", onbrand style"
SOON = 30  # seconds


class Watched:
    """A real encoder; what it is asked is noted, and a test can make it wait."""

    def __init__(self, encoder: MiniLmEncoder) -> None:
        self.encoder = encoder
        self.asked: list[str] = []
        self.begun, self.may_go_on = Event(), Event()
        self.may_go_on.set()
        self._alone = Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.encoder, name)

    def encode(self, prompt: str, suffix: str) -> Encoded:
        assert self._alone.acquire(blocking=False), "two encodings at once"
        try:
            self.asked.append(prompt)
            self.begun.set()
            assert self.may_go_on.wait(SOON)
            return self.encoder.encode(prompt, suffix)
        finally:
            self._alone.release()


@pytest.fixture(scope="module")
def mini() -> MiniLmEncoder:
    base = load_base(LocalFolder(MINI))
    encoder = load_text_encoder(
        base, MODELS["mini"], token_limit=128, precision=Precision.FLOAT32, device=torch.device("cpu")
    )
    assert isinstance(encoder, MiniLmEncoder)
    return encoder


@pytest.fixture
def encoder(mini: MiniLmEncoder) -> Watched:
    return Watched(mini)


@pytest.fixture(scope="module")
def size(mini: MiniLmEncoder) -> int:
    """Bytes of one prompt's embeddings."""
    found = mini.encode("a kettle", SUFFIX).embeddings.size
    assert found == 4 * (6 * 16 * 384 + 384 + 384)
    return found


def is_same(one: Embeddings, other: Embeddings) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("llama3", "t5", "pooled"))


def test_remembered_embeddings_equal_fresh_ones_and_need_no_encoder(encoder: Watched) -> None:
    cache = PromptCache()
    for prompt in ("a kettle", "", "kettle " * 200):
        first, second = (cache.get_or_encode(encoder, prompt, SUFFIX) for _ in range(2))
        fresh = encoder.encoder.encode(prompt, SUFFIX)
        assert first is second
        assert first.ignored == fresh.ignored
        assert is_same(second.embeddings, fresh.embeddings)
    assert encoder.asked == ["a kettle", "", "kettle " * 200]


def test_whatever_changes_the_embeddings_is_encoded_anew(encoder: Watched, mini: MiniLmEncoder) -> None:
    cache = PromptCache()
    others = [
        (encoder, "a kettle", ", onbrand style"),
        (encoder, "A kettle", ", onbrand style"),
        (encoder, "a kettle,", " onbrand style"),
        (encoder, ", onbrand style", "a kettle"),
        (encoder, "brand kettle", "on"),
        (encoder, " kettle", "onbrand"),
        (encoder, "a kettle", ""),
        (Watched(replace(mini, identity="another base")), "a kettle", ", onbrand style"),
        (Watched(replace(mini, reader=replace(mini.reader, limit=64))), "a kettle", ", onbrand style"),
    ]
    found = [cache.get_or_encode(*other) for other in others]
    assert len({id(each) for each in found}) == len(others)
    assert sum(len(each.asked) for each in {id(other[0]): other[0] for other in others}.values()) == len(others)


def test_the_least_recently_used_go_first(encoder: Watched, size: int) -> None:
    cache = PromptCache(max_bytes=2 * size)
    for prompt in ("one", "two", "one", "three", "one", "two"):
        cache.get_or_encode(encoder, prompt, SUFFIX)
        assert cache.size <= 2 * size
    assert encoder.asked == ["one", "two", "three", "two"]
    assert cache.size == 2 * size


def test_what_is_larger_than_the_cache_is_not_kept(encoder: Watched, size: int) -> None:
    cache = PromptCache(max_bytes=size - 1)
    for _ in range(2):
        cache.get_or_encode(encoder, "a kettle", SUFFIX)
    assert encoder.asked == ["a kettle"] * 2
    assert cache.size == 0


def test_who_asks_for_what_is_being_encoded_waits_for_it(encoder: Watched) -> None:
    cache = PromptCache()
    encoder.may_go_on.clear()
    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(cache.get_or_encode, encoder, "a kettle", SUFFIX) for _ in range(4)]
        assert encoder.begun.wait(SOON)
        encoder.may_go_on.set()
        found = [each.result(SOON) for each in asking]
    assert encoder.asked == ["a kettle"]
    assert len({id(each) for each in found}) == 1


def test_one_encoding_runs_at_a_time(encoder: Watched) -> None:
    cache = PromptCache()
    with ThreadPoolExecutor(8) as threads:
        prompts = [f"{number} kettles" for number in range(24)]
        found = list(threads.map(lambda prompt: cache.get_or_encode(encoder, prompt, SUFFIX), prompts))
    assert sorted(encoder.asked) == sorted(prompts)
    for prompt, encoded in zip(prompts, found, strict=True):
        assert is_same(encoded.embeddings, encoder.encoder.encode(prompt, SUFFIX).embeddings)


def test_a_known_prompt_does_not_wait_for_another_to_be_encoded(encoder: Watched) -> None:
    cache = PromptCache()
    known = cache.get_or_encode(encoder, "known", SUFFIX)
    encoder.begun.clear()
    encoder.may_go_on.clear()
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(cache.get_or_encode, encoder, "slow", SUFFIX)
        try:
            assert encoder.begun.wait(SOON)
            assert threads.submit(cache.get_or_encode, encoder, "known", SUFFIX).result(SOON) is known
            assert not slow.done()
        finally:
            encoder.may_go_on.set()


def test_after_a_failure_the_next_who_asks_tries_again(encoder: Watched) -> None:
    cache = PromptCache()
    for _ in range(2):
        with pytest.raises(PromptSuffixTooLong, match="prompt_suffix"):
            cache.get_or_encode(encoder, "a kettle", "brand " * 200)
    assert encoder.asked == ["a kettle"] * 2
    assert cache.size == 0


def test_the_texts_are_not_kept(encoder: Watched) -> None:
    cache = PromptCache()
    cache.get_or_encode(encoder, "a very secret kettle", SUFFIX)
    assert "secret" not in repr(vars(cache))
