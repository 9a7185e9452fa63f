"""docs/train.md says what the code does: the rule, the memory, the settings."""

from __future__ import annotations

import re

import pytest

from onbrand.config import REPOSITORY
from onbrand.hidream.memory import GIB
from onbrand.hidream.models import MINI_TRAINING, MODELS
from onbrand.training.choose import RULE
from onbrand.training.settings import PROMPT_SUFFIX
from tests.integration.training.test_train import planned

PAGE = (REPOSITORY / "docs" / "train.md").read_text("utf-8")


def test_the_rule_is_the_one_that_chooses() -> None:
    assert f"> {RULE}" in PAGE


@pytest.mark.parametrize(("free", "base"), [(79, "bfloat16"), (23.3, "8 bit")])
def test_the_memory_is_the_plan_s(free: float, base: str) -> None:
    needed = f"{planned(free).needed / GIB:.1f} GiB"
    assert re.search(rf"\| {base}[^|]*\| {re.escape(needed)} \|", PAGE)


def test_the_settings_are_the_models_own() -> None:
    full = MODELS["hidream-i1-full"].training
    assert full is not None
    steps = f"{full.steps_per_picture} for each illustration, {full.least_steps} to {full.most_steps:,}"
    mini = f"{MINI_TRAINING.steps_per_picture} for each, {MINI_TRAINING.least_steps} to {MINI_TRAINING.most_steps}"
    assert f"| steps | {steps} | {mini} |" in PAGE
    every = f"every {full.checkpoint_every} steps | every {MINI_TRAINING.checkpoint_every} |"
    assert f"| checkpoint | {every}" in PAGE
    assert f"{full.learning_rate:.0e}".replace("e-0", "e-") in PAGE
    assert f"`{PROMPT_SUFFIX}`" in PAGE
