"""Pictures to latents with both decoders' other half, and a whole training on HiDream's own classes at tiny size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from onbrand.config import REPOSITORY
from onbrand.dataset.reader import Dataset
from onbrand.hidream.decoding.decode import decode_kl
from onbrand.hidream.decoding.load_vae import load_vae
from onbrand.hidream.load import load_decoder, probe_lora
from onbrand.hidream.models import MODELS, Precision
from onbrand.hidream.packaging.build import build_pack
from onbrand.packs.base import Base, load_base
from onbrand.storage.files import LocalFolder
from onbrand.training import workplace
from onbrand.training.kept import LORA, read_checkpoints
from onbrand.training.latents import load_picture_encoder, to_tensor
from onbrand.training.train import train
from tests.integration.training.tiny_mini import QUICK
from tests.studio import draw
from tests.tiny import tiny_base

CPU = torch.device("cpu")
FULL = "hidream-i1-full"


@pytest.fixture(scope="module")
def hidream(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """HiDream-I1 at tiny size."""
    return tiny_base(tmp_path_factory.mktemp("hidream") / "base", FULL)


def test_the_mini_s_latents_are_drawn_as_the_picture_they_were_made_of() -> None:
    base, model = load_base(LocalFolder(REPOSITORY / "models" / "mini")), MODELS["mini"]
    pixels = np.asarray(draw(0)[0])
    latents = load_picture_encoder(base, model, CPU)(pixels)
    decoder = load_decoder(base, model, Precision.FLOAT32, CPU, lambda _: None)
    small = F.avg_pool2d(to_tensor(pixels)[None], 8)
    linear = decoder.projection(latents[None])
    assert (linear - small).abs().mean() < 0.05
    with torch.no_grad():
        assert (decoder.decode(latents[None]) - to_tensor(pixels)[None]).abs().mean() < 0.08


def test_hidream_s_latents_are_diffusers_own(hidream: Base) -> None:
    model = MODELS[FULL]
    pixels = np.asarray(draw(3, 512)[0])
    latents = load_picture_encoder(hidream, model, CPU)(pixels)
    vae = load_vae(hidream, model, Precision.FLOAT32, CPU, has_encoder=True)
    with torch.no_grad():
        expected = vae(to_tensor(pixels)[None], sample_posterior=False).sample
        assert torch.allclose(decode_kl(vae, latents[None]), expected, atol=1e-4)
    assert latents.shape == (4, 8, 8)


@pytest.mark.timeout(600)
def test_hidream_is_trained_on_and_a_pack_is_built_of_it(
    hidream: Base, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {**MODELS, FULL: replace(MODELS[FULL], steps=2)}  # of a sample: 50 on real weights
    monkeypatch.setattr(workplace, "MODELS", quick)
    done = train(hidream, dataset, tmp_path / "run", replace(QUICK, steps=2, at_once=1))
    assert done == (2, 2)
    assert [one.step for one in read_checkpoints(tmp_path / "run")] == [2]
    pack = build_pack(
        hidream,
        tmp_path / "run" / "checkpoints" / "000002" / LORA,
        tmp_path / "pack",
        name="Tiny",
        version="1",
        prompt_suffix=", onbrand style",
        probe=probe_lora,
    )
    modules = pack.manifest.lora.adapted_modules
    assert not [name for name in modules if ".experts." in name]
    assert "double_stream_blocks.0.block.attn1.to_q_t" in modules
    assert "single_stream_blocks.1.block.ff_i.shared_experts.w2" in modules
