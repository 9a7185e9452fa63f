"""The cache of embeddings, with the mini model's encoder: same values, limited memory, one encoding at a time."""

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
from onbrand.hidream.text.embedding_cache import EmbeddingCache
from onbrand.hidream.text.encode import Embeddings, EncodedPrompt
from onbrand.hidream.text.load_encoders import load_text_encoder
from onbrand.hidream.text.minilm import MiniLmEncoder
from onbrand.packs.base import load_base
from onbrand.storage.files import LocalFolder

MINI = Path(__file__).parents[3] / "models" / "mini"
SUFFIX = ", onbrand style"
TIMEOUT_SECONDS = 30


class WatchedEncoder:
    """A real encoder that records its prompts, and that a test can make wait."""

    def __init__(self, encoder: MiniLmEncoder) -> None:
        self.encoder = encoder
        self.prompts: list[str] = []
        self.has_begun, self.may_continue = Event(), Event()
        self.may_continue.set()
        self._lock = Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.encoder, name)

    def encode(self, prompt: str, suffix: str) -> EncodedPrompt:
        assert self._lock.acquire(blocking=False), "two encodings at once"
        try:
            self.prompts.append(prompt)
            self.has_begun.set()
            assert self.may_continue.wait(TIMEOUT_SECONDS)
            return self.encoder.encode(prompt, suffix)
        finally:
            self._lock.release()


@pytest.fixture(scope="module")
def mini() -> MiniLmEncoder:
    base = load_base(LocalFolder(MINI))
    encoder = load_text_encoder(
        base, MODELS["mini"], token_limit=128, precision=Precision.FLOAT32, device=torch.device("cpu")
    )
    assert isinstance(encoder, MiniLmEncoder)
    return encoder


@pytest.fixture
def encoder(mini: MiniLmEncoder) -> WatchedEncoder:
    return WatchedEncoder(mini)


@pytest.fixture(scope="module")
def size(mini: MiniLmEncoder) -> int:
    """Bytes of one prompt's embeddings."""
    found = mini.encode("a kettle", SUFFIX).embeddings.size
    assert found == 4 * (6 * 18 * 384 + 384 + 384)
    return found


def is_same(one: Embeddings, other: Embeddings) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("llama3", "t5", "pooled"))


def test_cached_embeddings_equal_new_ones_and_need_no_encoder(encoder: WatchedEncoder) -> None:
    cache = EmbeddingCache()
    for prompt in ("a kettle", "", "kettle " * 200):
        first, second = (cache.get_or_encode(encoder, prompt, SUFFIX) for _ in range(2))
        fresh = encoder.encoder.encode(prompt, SUFFIX)
        assert first is second
        assert first.ignored == fresh.ignored
        assert is_same(second.embeddings, fresh.embeddings)
    assert encoder.prompts == ["a kettle", "", "kettle " * 200]


def test_everything_that_changes_the_embeddings_has_another_entry(encoder: WatchedEncoder, mini: MiniLmEncoder) -> None:
    cache = EmbeddingCache()
    others = [
        (encoder, "a kettle", ", onbrand style"),
        (encoder, "A kettle", ", onbrand style"),
        (encoder, "a kettle,", " onbrand style"),
        (encoder, ", onbrand style", "a kettle"),
        (encoder, "brand kettle", "on"),
        (encoder, " kettle", "onbrand"),
        (encoder, "a kettle", ""),
        (WatchedEncoder(replace(mini, identity="another base")), "a kettle", ", onbrand style"),
        (WatchedEncoder(replace(mini, tokenizer=replace(mini.tokenizer, limit=64))), "a kettle", ", onbrand style"),
    ]
    found = [cache.get_or_encode(*other) for other in others]
    assert len({id(each) for each in found}) == len(others)
    assert sum(len(each.prompts) for each in {id(other[0]): other[0] for other in others}.values()) == len(others)


def test_the_least_recently_used_are_removed_first(encoder: WatchedEncoder, size: int) -> None:
    cache = EmbeddingCache(max_bytes=2 * size)
    for prompt in ("one", "two", "one", "three", "one", "two"):
        cache.get_or_encode(encoder, prompt, SUFFIX)
        assert cache.size <= 2 * size
    assert encoder.prompts == ["one", "two", "three", "two"]
    assert cache.size == 2 * size


def test_embeddings_larger_than_the_cache_are_not_cached(encoder: WatchedEncoder, size: int) -> None:
    cache = EmbeddingCache(max_bytes=size - 1)
    for _ in range(2):
        cache.get_or_encode(encoder, "a kettle", SUFFIX)
    assert encoder.prompts == ["a kettle"] * 2
    assert cache.size == 0


def test_a_thread_waits_for_the_text_that_is_being_encoded(encoder: WatchedEncoder) -> None:
    cache = EmbeddingCache()
    encoder.may_continue.clear()
    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(cache.get_or_encode, encoder, "a kettle", SUFFIX) for _ in range(4)]
        assert encoder.has_begun.wait(TIMEOUT_SECONDS)
        encoder.may_continue.set()
        found = [each.result(TIMEOUT_SECONDS) for each in asking]
    assert encoder.prompts == ["a kettle"]
    assert len({id(each) for each in found}) == 1


def test_one_encoding_runs_at_a_time(encoder: WatchedEncoder) -> None:
    cache = EmbeddingCache()
    with ThreadPoolExecutor(8) as threads:
        prompts = [f"{number} kettles" for number in range(24)]
        found = list(threads.map(lambda prompt: cache.get_or_encode(encoder, prompt, SUFFIX), prompts))
    assert sorted(encoder.prompts) == sorted(prompts)
    for prompt, encoded in zip(prompts, found, strict=True):
        assert is_same(encoded.embeddings, encoder.encoder.encode(prompt, SUFFIX).embeddings)


def test_a_cached_prompt_does_not_wait_for_another_encoding(encoder: WatchedEncoder) -> None:
    cache = EmbeddingCache()
    known = cache.get_or_encode(encoder, "known", SUFFIX)
    encoder.has_begun.clear()
    encoder.may_continue.clear()
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(cache.get_or_encode, encoder, "slow", SUFFIX)
        try:
            assert encoder.has_begun.wait(TIMEOUT_SECONDS)
            assert threads.submit(cache.get_or_encode, encoder, "known", SUFFIX).result(TIMEOUT_SECONDS) is known
            assert not slow.done()
        finally:
            encoder.may_continue.set()


def test_a_failure_is_not_cached(encoder: WatchedEncoder) -> None:
    cache = EmbeddingCache()
    for _ in range(2):
        with pytest.raises(PromptSuffixTooLong, match="prompt_suffix"):
            cache.get_or_encode(encoder, "a kettle", "brand " * 200)
    assert encoder.prompts == ["a kettle"] * 2
    assert cache.size == 0


def test_the_texts_are_not_stored(encoder: WatchedEncoder) -> None:
    cache = EmbeddingCache()
    cache.get_or_encode(encoder, "a very secret kettle", SUFFIX)
    assert "secret" not in repr(vars(cache))
