"""What the recipe draws is what the product draws with the exported weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("resvg_py", reason="the recipe's own dependency: extra `mini`")

from models.mini.recipe import export
from models.mini.recipe.art import Art
from models.mini.recipe.data import make_cast
from models.mini.recipe.denoiser import Size, averaged, build, draw
from models.mini.recipe.text import SLOTS, Text
from onbrand.hidream.models import MODELS, Precision
from onbrand.hidream.network.transformer import empty_transformer
from onbrand.hidream.sampling.denoising import denoise, prepare_latents
from onbrand.hidream.sampling.schedule import make_scheduler
from onbrand.hidream.text.minilm import load_minilm
from onbrand.hidream.weights.load_state import load_state
from onbrand.packs.base import load_base
from onbrand.storage.files import LocalFolder

MINI = Path(__file__).parents[3] / "models/mini"
SIZE = Size(channels=4, heads=1, double=1, single=2)
PROMPT = "a red mug on a light blue background"


def test_every_drawing_that_was_learned_from_is_credited(tmp_path: Path) -> None:
    art = Art(None)
    cast = make_cast(art)
    export.write_attribution(tmp_path / "attribution.json", art, cast)
    written = json.loads((tmp_path / "attribution.json").read_text("utf-8"))
    listed = {drawing for drawings in written["drawings"].values() for drawing in drawings}
    assert listed == {drawing for drawings in cast.drawings for drawing in drawings}
    assert {drawing.split("/")[0] for drawing in listed} == {source["set"] for source in written["sources"]}


def test_the_engine_draws_the_recipe_s_latents(tmp_path: Path) -> None:
    network = build(SIZE, 1)
    generator = torch.Generator().manual_seed(2)
    weights = {
        name: (parameter + 0.02 * torch.randn(parameter.shape, generator=generator)).detach().half().float()
        for name, parameter in network.named_parameters()
    }
    expected = draw(
        averaged(SIZE, weights), Text.load(MINI / "text_encoder"), [PROMPT] * 2, [5, 6], channels=4, steps=4
    )

    export.write_transformer(tmp_path, SIZE, weights)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    transformer = empty_transformer(config, Precision.FLOAT32).to_empty(device=torch.device("cpu"))
    load_state(transformer, iter(load_file(tmp_path / "diffusion_pytorch_model.safetensors").items()))
    encoder = load_minilm(
        load_base(LocalFolder(MINI)),
        identity="",
        token_limit=128,
        slots=SLOTS,
        device=torch.device("cpu"),
        on_bytes=lambda _: None,
    )
    latents, generators = prepare_latents([5, 6], 4, 16)
    drawn = denoise(
        transformer,
        make_scheduler(MODELS["mini"], 1.0),
        latents,
        generators,
        encoder.encode(PROMPT, "").embeddings,
        encoder.encode("", "").embeddings,
        steps=4,
        guidance_scale=3.5,
        on_step=lambda _step, _clean: None,
    )
    # Half precision of the captions in training is the only difference.
    assert (drawn - expected).abs().max() < 0.02
    assert drawn.std() > 0.1
