"""The miniature's whole recipe at tiny size: from our own drawings to pictures, with a kill on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("resvg_py", reason="the recipe's own dependency: extra `mini`")

from models.mini.recipe import run
from models.mini.recipe.__main__ import MINI, main
from models.mini.recipe.denoiser import Recipe, Size
from onbrand.training.checkpoints import checkpoints, load_checkpoint
from onbrand.training.loop import Pace

TINY = Recipe(size=Size(heads=1, double=1, single=1, channels=4), batch=4, is_bf16=False, window=4)
NEVER = Pace(checkpoint=1e9, sheet=1e9, line=1e9)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Encoder and data of 24 pictures, from our own drawings alone."""
    folder = tmp_path_factory.mktemp("lab")
    main(["data", "--lab", str(folder), "--own", "--pictures", "24", "--shard", "12", "--threads", "1"])
    return folder


def train(lab: Path, name: str, recipe: Recipe, steps: int | None = None) -> Path:
    """A run of so many steps in all; returns its folder."""
    folder = lab / "runs" / name
    run.write_recipe(folder, recipe)
    basis = run.read_basis(lab / "basis.safetensors")
    text = run.Text.load(MINI / "text_encoder")
    run.train_denoiser(folder, lab / "data", basis, text, pace=NEVER, steps=steps)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The averaged weights of a run's newest checkpoint."""
    kept: dict[str, torch.Tensor] = load_checkpoint(checkpoints(folder)[-1])["average"]
    return kept


def test_a_run_in_two_parts_is_a_run_in_one(lab: Path) -> None:
    whole = weights(train(lab, "whole", TINY, steps=4))
    train(lab, "parts", TINY, steps=2)
    parts = weights(train(lab, "parts", TINY, steps=4))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_decayed_copy_ends_by_itself_and_leaves_the_run_alone(lab: Path) -> None:
    source = train(lab, "stable", TINY, steps=3)
    before = checkpoints(source)[-1].read_bytes()
    run.decay(source, lab / "runs" / "decayed", 2)
    decayed = train(lab, "decayed", TINY)
    assert load_checkpoint(checkpoints(decayed)[-1])["step"] == 5
    assert checkpoints(source)[-1].read_bytes() == before


def test_a_run_keeps_its_recipe(lab: Path) -> None:
    folder = lab / "runs" / "kept"
    run.write_recipe(folder, TINY)
    run.write_recipe(folder, replace(TINY, batch=99))
    assert run.read_recipe(folder) == TINY


def test_the_sheet_shows_the_fixed_prompts(lab: Path) -> None:
    folder = train(lab, "sheet", TINY, steps=1)
    basis = run.read_basis(lab / "basis.safetensors")
    prompts = ["a red mug on white", "a blue lamp"]
    images = run.pictures(TINY, weights(folder), basis, run.Text.load(MINI / "text_encoder"), prompts, [1, 2])
    assert [image.size for image in images] == [(128, 128)] * 2
