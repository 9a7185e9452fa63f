"""The miniature's whole recipe at tiny size: from our own drawings to pictures, with a kill on the way."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("resvg_py", reason="the recipe's own dependency: extra `mini`")

from models.mini.recipe import brand, decoder, export, run, steps
from models.mini.recipe.__main__ import main
from models.mini.recipe.art import Art
from models.mini.recipe.data import Shards, make_cast
from models.mini.recipe.denoiser import Recipe, Size, averaged, scales
from models.mini.recipe.pictures import sample
from models.mini.recipe.scenes import paint
from models.mini.recipe.text import Text
from onbrand.dataset.reader import read_dataset
from onbrand.hidream.decoding.vae import COMPONENTS, PcaVae, calm, enlarge
from onbrand.training import loop
from onbrand.training.checkpoints import checkpoints, load_checkpoint, save_checkpoint
from onbrand.training.loop import Pace

TEXT_ENCODER = Path(__file__).parents[3] / "models/mini/text_encoder"
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
    text = Text.load(TEXT_ENCODER)
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


def test_the_first_stage_has_the_core_things_in_one_drawing_each() -> None:
    everything, core = make_cast(Art(None)), make_cast(Art(None), "core")
    assert 0 < len(core.concepts) < len(everything.concepts)
    assert all("core" in concept.roles for concept in core.concepts)
    assert {len(drawings) for drawings in core.drawings} == {1}


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_run_may_ask_for_pictures_of_one_thing(lab: Path, share: float) -> None:
    shards = Shards.open(run.shard_folders(lab / "data"))
    assert 0 < shards.is_single.sum() < len(shards)
    picked = shards.pick(50, share, torch.Generator().manual_seed(1))
    assert {bool(shards.is_single[index]) for index in picked} == {bool(share)}
    assert len(set(picked)) > 2
    assert max(shards.pick(200, None, torch.Generator().manual_seed(1))) < len(shards)


def test_a_decayed_copy_ends_by_itself_and_leaves_the_run_alone(lab: Path) -> None:
    source = train(lab, "stable", TINY, steps=3)
    before = checkpoints(source)[-1].read_bytes()
    run.decay(source, lab / "runs" / "decayed", 2, singles=1.0)
    assert run.read_recipe(lab / "runs" / "decayed").singles == 1.0
    decayed = train(lab, "decayed", TINY)
    assert load_checkpoint(checkpoints(decayed)[-1])["step"] == 5
    assert checkpoints(source)[-1].read_bytes() == before


def test_another_lab_goes_on_from_an_exported_base(lab: Path, tmp_path: Path) -> None:
    """All that a release keeps is the weights and the decoder: more data and a new run need no more."""
    recipe = replace(Recipe(), size=TINY.size, batch=4, is_bf16=False)
    before = weights(train(lab, "released", recipe, steps=1))
    basis = run.read_basis(lab / "basis.safetensors")
    parts = decoder.DecoderRecipe(w16=8, w128=4, w256=2)
    vae = decoder.make_vae(parts, basis, scales(basis, 4, recipe.spread))
    base, new = tmp_path / "base", tmp_path / "lab"
    export.write_transformer(base / "transformer", recipe.size, before)
    export.write_vae(base / "vae", vae, (parts.w16, parts.w128, parts.w256))
    arguments = ["--lab", str(new), "--base", str(base), "--own", "--threads", "1"]
    main(["data", *arguments, "--pictures", "4", "--shard", "4"])
    again = run.read_basis(new / "basis.safetensors")
    assert torch.allclose(again.deviations, basis.deviations[:4], rtol=1e-4)
    folder = new / "runs" / "main"
    run.write_recipe(folder, recipe)
    main(["denoiser", *arguments, "--steps", "0"])
    after = weights(folder)
    assert all(torch.equal(after[name], weight.half().float()) for name, weight in before.items())
    turned = replace(basis, components=-basis.components)
    export.write_vae(base / "vae", decoder.make_vae(parts, turned, scales(basis, 4, 0.5)), (8, 4, 2))
    with pytest.raises(SystemExit, match="not of the base's encoder"):
        main(["denoiser", *arguments, "--steps", "0"])


def test_the_decoder_is_that_of_the_lab_or_else_of_the_base(lab: Path, tmp_path: Path) -> None:
    recipe, parts = replace(Recipe(), size=TINY.size, batch=4, is_bf16=False), decoder.DecoderRecipe()
    train(lab, "drawing", recipe, steps=1)
    basis = run.read_basis(lab / "basis.safetensors")
    vae = decoder.make_vae(parts, basis, scales(basis, 4, recipe.spread))
    export.write_vae(tmp_path / "vae", vae, (parts.w16, parts.w128, parts.w256))
    lab = Path(shutil.copytree(lab, tmp_path / "lab"))
    options = argparse.Namespace(lab=lab, base=tmp_path, run="drawing", text_encoder=TEXT_ENCODER)
    (of_base,) = steps.drawn_by_run(options)("a red mug", [1])
    assert of_base.shape == (1024, 1024, 3)
    trained = {name: weight + 0.01 for name, weight in vae.named_parameters()}
    (lab / "runs" / "decoder").mkdir()
    save_checkpoint(lab / "runs" / "decoder", 1, {"step": 1, "average": trained})
    (own,) = steps.drawn_by_run(options)("a red mug", [1])
    assert not np.array_equal(own, of_base)


def test_a_run_keeps_its_recipe(lab: Path) -> None:
    folder = lab / "runs" / "kept"
    run.write_recipe(folder, TINY)
    run.write_recipe(folder, replace(TINY, batch=99))
    assert run.read_recipe(folder) == TINY


def test_the_sheet_shows_the_fixed_prompts(lab: Path) -> None:
    folder = train(lab, "sheet", TINY, steps=1)
    basis = run.read_basis(lab / "basis.safetensors")
    prompts = ["a red mug on white", "a blue lamp"]
    images = run.pictures(TINY, weights(folder), basis, Text.load(TEXT_ENCODER), prompts, [1, 2])
    assert [image.size for image in images] == [(128, 128)] * 2


def test_a_brand_s_illustrations_are_a_studio_s_dataset(lab: Path) -> None:
    found, sample_brand = Art(None), brand.BRANDS["sample"]
    samples = brand.brand_samples(make_cast(found), sample_brand, count=3)
    brand.write_dataset(lab / "brand", found, sample_brand, samples)
    read = read_dataset(lab / "brand").illustrations
    assert [one.caption for one in read] == [one.caption for one in samples]
    assert {one.pixels(64).shape for one in read} == {(64, 64, 3)}


def test_the_decoder_begins_with_the_small_picture_and_learns_from_pictures_that_are_painted_once(lab: Path) -> None:
    basis = run.read_basis(lab / "basis.safetensors")
    divisor = scales(basis, 4, 0.5)
    recipe = decoder.DecoderRecipe(w16=8, w128=4, w256=2, pictures=1, distinct=2)
    network = averaged(TINY.size, weights(train(lab, "drawing", TINY, steps=4)))
    redraw = decoder.make_redraw(network, Text.load(TEXT_ENCODER), 0.5)
    training = decoder.make_training(recipe, basis, divisor, redraw, None, 1, 500, lab / "large")
    vae = training.network
    assert isinstance(vae, PcaVae)
    latents = torch.randn(1, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    small, large = vae.draw(latents, vae.c0(latents))
    assert torch.equal(small, calm(vae.preview(latents)))
    loop.run(training, lab / "runs" / "decoder", pace=NEVER, steps=3)
    assert sorted(file.name for file in (lab / "large").iterdir()) == ["500.png", "501.png"]
    corrected, changed = vae.draw(latents, vae.c0(latents))
    assert not torch.equal(corrected, small)
    assert not torch.allclose(changed, large, atol=1e-5)


def test_the_decoder_learns_from_latents_as_the_denoiser_leaves_them(lab: Path) -> None:
    network = averaged(TINY.size, weights(train(lab, "drawing", TINY, steps=4)))
    text = Text.load(TEXT_ENCODER)
    clean = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(1))

    def redrawn(most: float, captions: list[str]) -> torch.Tensor:
        return decoder.make_redraw(network, text, most)(clean, captions, torch.Generator().manual_seed(2))

    assert torch.equal(redrawn(0.0, ["a mug", "a lamp"]), clean)
    little, much = redrawn(0.1, ["a mug", "a lamp"]) - clean, redrawn(0.5, ["a mug", "a lamp"]) - clean
    assert 0 < little.std() < much.std()
    assert not torch.equal(redrawn(0.5, ["a mug", "a lamp"]), redrawn(0.5, ["a mug", "a red lamp"]))


def test_another_decoder_s_weights_are_gone_on_from_and_what_it_lacks_begins_anew(lab: Path, tmp_path: Path) -> None:
    basis = run.read_basis(lab / "basis.safetensors")
    divisor, parts = scales(basis, 4, 0.5), decoder.DecoderRecipe(w16=8, w128=4, w256=2)
    other = decoder.make_vae(replace(parts, seed=9), basis, divisor)
    export.write_vae(tmp_path, other, (8, 4, 2))
    start = export.read_decoder(tmp_path)
    begun = {name: start.pop(name) for name in list(start) if name.startswith("axis")}
    training = decoder.make_training(parts, basis, divisor, _as_it_is, None, 1, 0, lab / "large", start=start)
    weights = training.network.state_dict()
    assert begun
    assert all(torch.equal(weights[name], weight) for name, weight in start.items())


@pytest.mark.parametrize(
    ("left", "right", "axis"),
    [
        ([0.8, -0.6, -0.4], [-0.7, 0.1, 0.9], [0.0, 0.0, 0.0]),
        ([0.4, 0.0, -0.4], [-0.4, 0.2, 0.6684], [1.0, 0.0, -1.0]),  # two colours of one lightness
    ],
)
def test_an_edge_is_crisp_however_far_the_small_picture_is_enlarged(
    left: list[float], right: list[float], axis: list[float]
) -> None:
    """Two colours meet between two pixels of the small picture, and at most six of the large one are a mixture."""
    vae = PcaVae(COMPONENTS, 4, 4, 2)
    vae.V.copy_(torch.eye(COMPONENTS))
    with torch.no_grad():
        assert vae.axis.bias is not None
        vae.axis.bias.copy_(torch.tensor(axis))
    ends = torch.tensor(left), torch.tensor(right)
    picture = torch.where(torch.arange(256) < 126, ends[0][:, None], ends[1][:, None]).expand(1, 256, 3, 256)
    latents = vae.encode(picture.transpose(1, 2))
    assert _mixed(enlarge(vae.preview(latents), 8), *ends) > 12
    assert _mixed(vae.decode(latents), *ends) <= 6


def test_shades_of_one_fill_become_one_and_edges_stay() -> None:
    generator = torch.Generator().manual_seed(3)
    left, right = torch.tensor([0.8, -0.6, -0.4]), torch.tensor([0.5, -0.2, -0.4])
    clean = torch.where(torch.arange(32) < 16, left[:, None], right[:, None])[None, :, None].expand(1, 3, 32, 32)
    shades = 0.05 * torch.randn(1, 3, 16, 16, generator=generator)
    patchy = clean + shades.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert (calm(patchy) - clean).square().mean() < 0.2 * (patchy - clean).square().mean()
    assert torch.allclose(calm(clean), clean, atol=0.001)


def test_the_decoder_learns_most_where_there_is_something_to_see() -> None:
    large = torch.ones(1024, 1024, 3)
    large[832:, 832:] = torch.rand(192, 192, 3, generator=torch.Generator().manual_seed(1))
    places = [decoder._place(large, torch.Generator().manual_seed(k)) for k in range(50)]
    sees = [min(place) > 5 for place in places]  # a crop of eight latents from six on has some of the thing
    assert sum(sees) > 0.95 * len(sees)


def test_a_crop_counts_where_its_surroundings_are_there() -> None:
    inside, corner = decoder._counts((3, 4)), decoder._counts((0, 8))
    assert inside.sum() == 36
    assert corner.sum() == 49
    assert corner[0, 0, -1] == 1
    assert corner[0, -1, -1] == corner[0, 0, 0] == 0


def _as_it_is(latents: torch.Tensor, _captions: object, _generator: object) -> torch.Tensor:
    return latents


def _mixed(pictures: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> int:
    row = pictures[0, :, 128]
    away = torch.minimum((row - left[:, None]).abs().amax(dim=0), (row - right[:, None]).abs().amax(dim=0))
    return int((away > 0.05).sum())


def test_the_decoder_s_encoder_is_the_data_s(lab: Path) -> None:
    basis = run.read_basis(lab / "basis.safetensors")
    divisor = scales(basis, 4, 0.5)
    vae = decoder.make_vae(decoder.DecoderRecipe(w16=8, w128=4, w256=2), basis, divisor)
    art = Art(None)
    large = torch.from_numpy(paint(sample(make_cast(art), 1, 7).picture, art, 1024)).float()
    pictures = large.permute(2, 0, 1)[None] * 2 - 1
    assert torch.allclose(vae.encode(pictures)[0], decoder.encode_large(large, basis, divisor), atol=0.05)
