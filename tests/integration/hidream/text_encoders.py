"""Loading the text encoders of a tiny base, and comparing embeddings."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from onbrand.hidream.models import MODELS, Precision
from onbrand.hidream.text.encode import Embeddings
from onbrand.hidream.text.encoders import HiDreamTextEncoder
from onbrand.hidream.text.load_encoders import load_text_encoder
from onbrand.packs.base import Base

MODEL = "hidream-i1-dev"
SUFFIX = ", onbrand style"
SHORT = "a squirrel eating 汉堡 🍔"


def load(
    base: Base, precision: Precision = Precision.FLOAT32, token_limit: int = 128, **options: Any
) -> HiDreamTextEncoder:
    encoder = load_text_encoder(
        base, MODELS[MODEL], token_limit=token_limit, precision=precision, device=torch.device("cpu"), **options
    )
    assert isinstance(encoder, HiDreamTextEncoder)
    return encoder


def assert_same(ours: Embeddings, theirs: Embeddings) -> None:
    for name in ("llama3", "t5", "pooled"):
        mine, its = getattr(ours, name), getattr(theirs, name)
        assert (mine.shape, mine.dtype) == (its.shape, its.dtype), name
        assert torch.equal(mine, its), name


def copied(directory: Path, to: Path) -> Path:
    """A copy of the files of the text encoders."""
    for part in directory.iterdir():
        if part.name.startswith(("text_encoder", "tokenizer")):
            shutil.copytree(part, to / part.name)
    return to
