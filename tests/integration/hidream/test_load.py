"""Loading at tiny size: from the same files, our pipeline and diffusers' give the same pictures."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, HiDreamImagePipeline, HiDreamImageTransformer2DModel

from onbrand.config import PrecisionChoice
from onbrand.errors import PackUnfit, PreparedWeightsDamaged, ProbeMismatch, SetupError
from onbrand.hidream.load import Stage, load_pipeline, probe_lora
from onbrand.hidream.models import MODELS, Precision
from onbrand.hidream.pipeline import Pipeline, PipelineOutput
from onbrand.hidream.sampling.denoising import prepare_latents
from onbrand.hidream.sampling.schedule import make_scheduler
from onbrand.hidream.text.encode import EncodedPrompt, TextEncoder
from onbrand.hidream.weights.prepared import store_prepared
from onbrand.packs.base import Base
from onbrand.packs.manifest import BrandPack, load_pack
from onbrand.storage.files import LocalFolder
from tests import tiny

PROMPT = "a blue kettle on a table"
SEEDS = (1, 2**53 - 1)


@dataclass(frozen=True)
class Brand:
    """A tiny base with its own brand pack."""

    base: Base
    pack: BrandPack
    directory: Path

    def load(self, precision: PrecisionChoice = PrecisionChoice.FLOAT32, **options: Any) -> Pipeline:
        return load_pipeline(self.base, self.pack, precision=precision, **options)


def make_brand(directory: Path, model: str) -> Brand:
    base = tiny.tiny_base(directory / "base", model)
    transformer = HiDreamImageTransformer2DModel.from_pretrained(directory / "base" / "transformer")
    lora, modules = tiny.tiny_lora(transformer, strength=1.5), tiny.adapted_modules(transformer)
    first = tiny.tiny_pack(directory / "unprobed", base, lora, modules)
    probe = probe_lora(base, first.path("lora.safetensors"), first.manifest.lora)
    probed = {"base": probe.base, "fused": probe.fused}
    return Brand(base, tiny.tiny_pack(directory / "pack", base, lora, modules, probe=probed), directory)


@pytest.fixture(scope="module", params=tiny.VARIANTS)
def variant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Brand:
    return make_brand(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def brand(tmp_path_factory: pytest.TempPathFactory) -> Brand:
    return make_brand(tmp_path_factory.mktemp("dev"), "hidream-i1-dev")


class UnusedEncoder:
    """A text encoder that must not be used."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.identity, self.token_limit, self.large_networks = (
            encoder.identity,
            encoder.token_limit,
            encoder.large_networks,
        )

    def encode(self, prompt: str, suffix: str) -> EncodedPrompt:
        raise AssertionError(f"{prompt}{suffix} was encoded again")

    def to(self, device: torch.device) -> None:
        raise AssertionError(f"moved to {device}")


def draw(pipeline: Pipeline, prompt: str = PROMPT, seeds: tuple[int, ...] = SEEDS[:1]) -> PipelineOutput:
    return pipeline.draw(prompt, seeds, lambda _: None, lambda: False)


def diffusers_pipeline(brand: Brand, *, with_lora: bool = True) -> Any:
    """diffusers' pipeline from the same files. peft loads the LoRA and does not fuse it."""
    directory, manifest = brand.directory / "base", brand.pack.manifest
    pipeline = tiny.tiny_pipeline()  # the same seed: the same encoders and tokenizers as on disk
    pipeline.transformer = HiDreamImageTransformer2DModel.from_pretrained(directory / "transformer").float().eval()
    pipeline.vae = AutoencoderKL.from_pretrained(directory / "vae").eval()
    pipeline.scheduler = make_scheduler(MODELS[manifest.base_model], manifest.shift)
    if not with_lora:
        return pipeline
    pipeline.load_lora_weights(brand.pack.directory, weight_name="lora.safetensors", adapter_name="brand")
    # diffusers reads no alpha from such a file and uses the scale 1 instead of alpha / rank.
    pipeline.set_adapters("brand", manifest.lora.scale * manifest.lora.alpha / manifest.lora.rank)
    return pipeline


def diffusers_pictures(pipeline: HiDreamImagePipeline, brand: Brand, suffix: str | None = None) -> np.ndarray:
    manifest = brand.pack.manifest
    latents, generators = prepare_latents(SEEDS, 4, tiny.SIZE)
    if hasattr(pipeline.scheduler, "generators"):
        pipeline.scheduler.generators = generators
    pictures = pipeline(
        PROMPT + (manifest.prompt_suffix if suffix is None else suffix),
        height=1024,
        width=1024,
        num_images_per_prompt=len(SEEDS),
        latents=latents,
        num_inference_steps=manifest.steps,
        guidance_scale=manifest.guidance_scale,
        max_sequence_length=manifest.prompt_token_limit,
        output_type="np",
    ).images
    return (np.asarray(pictures) * 255).round().astype(int)


def test_pictures_equal_those_of_diffusers_with_an_unfused_lora(variant: Brand) -> None:
    """This covers encoders, fused LoRA, experts, scheduler, guidance and decoder."""
    ours = draw(variant.load(), seeds=SEEDS).pixels.astype(int)
    theirs = diffusers_pictures(diffusers_pipeline(variant), variant)
    assert np.abs(ours - theirs).max() <= 1
    assert len({picture.tobytes() for picture in ours}) == len(SEEDS)


def test_without_the_lora_pictures_equal_those_that_diffusers_draws_with_the_bare_base(brand: Brand) -> None:
    ours = draw(brand.load(with_lora=False), seeds=SEEDS).pixels.astype(int)
    theirs = diffusers_pictures(diffusers_pipeline(brand, with_lora=False), brand, suffix="")
    assert np.abs(ours - theirs).max() <= 1
    assert np.abs(ours - draw(brand.load(), seeds=SEEDS).pixels.astype(int)).max() > 1


def test_an_image_alone_is_the_image_of_the_batch(variant: Brand) -> None:
    pipeline = variant.load()
    together, alone = draw(pipeline, seeds=SEEDS), draw(pipeline, seeds=SEEDS[1:])
    assert np.abs(alone.pixels[0].astype(int) - together.pixels[1]).max() <= 1


def test_an_earlier_request_does_not_change_the_pixels(variant: Brand) -> None:
    pipeline = variant.load()
    draw(pipeline, "another prompt", (5,))
    first = draw(pipeline)
    torch.manual_seed(99)
    assert (draw(variant.load()).pixels == first.pixels).all()


def test_without_the_lora_the_pictures_are_different(brand: Brand) -> None:
    pipeline = diffusers_pipeline(brand)
    with_lora = diffusers_pictures(pipeline, brand)
    pipeline.unload_lora_weights()
    assert np.abs(diffusers_pictures(pipeline, brand) - with_lora).mean() > 2


@pytest.mark.parametrize(("precision", "bound"), [(PrecisionChoice.BFLOAT16, 4.0), (PrecisionChoice.INT8, 6.0)])
def test_lower_precision_draws_nearly_the_same(brand: Brand, precision: PrecisionChoice, bound: float) -> None:
    """Mean difference in levels of 256. Random weights are the hardest case, because they have no redundancy."""
    exact, rounded = draw(brand.load()).pixels.astype(int), draw(brand.load(precision)).pixels.astype(int)
    assert 0 < np.abs(exact - rounded).mean() < bound


@pytest.mark.parametrize("precision", [PrecisionChoice.BFLOAT16, PrecisionChoice.INT8])
def test_prepared_weights_give_the_same_pictures(brand: Brand, tmp_path: Path, precision: PrecisionChoice) -> None:
    fused = brand.load(precision)
    store_prepared(tmp_path, fused.transformer, brand.pack.id, "transformer", Precision(precision))
    read: list[Stage] = []
    prepared = brand.load(precision, prepared_folder=LocalFolder(tmp_path), on_stage=read.append)
    assert (draw(prepared).pixels == draw(fused).pixels).all()
    size = {stage.name: stage.size for stage in read}["transformer"]
    assert size == sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors"))


def test_a_flipped_bit_in_prepared_weights_is_refused(brand: Brand, tmp_path: Path) -> None:
    fused = brand.load(PrecisionChoice.INT8)
    store_prepared(tmp_path, fused.transformer, brand.pack.id, "transformer", Precision.INT8)
    shard = next(tmp_path.rglob("*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(PreparedWeightsDamaged):
        brand.load(PrecisionChoice.INT8, prepared_folder=LocalFolder(tmp_path))


def test_loading_reports_its_plan_and_its_parts_beginning_with_the_encoders(brand: Brand) -> None:
    plans: list[str] = []
    stages: list[Stage] = []
    brand.load(on_plan=plans.append, on_stage=stages.append)
    assert len(plans) == 1
    assert plans[0].startswith("HiDream-I1 Dev on the CPU: float32, all of it on the device")
    assert [stage.name for stage in stages] == ["encoders", "transformer", "decoder", "check"]
    assert [stage.size > 0 for stage in stages] == [True, True, True, False]


def test_a_prompt_can_be_encoded_before_the_transformer_is_loaded(brand: Brand) -> None:
    events: list[str] = []

    def use_encoder(encode: Any) -> None:
        encode(PROMPT)
        events.append("prompt encoded")

    pipeline = brand.load(on_encoder=use_encoder, on_stage=lambda stage: events.append(stage.name))
    assert events == ["encoders", "prompt encoded", "transformer", "decoder", "check"]
    pipeline.text_encoder = UnusedEncoder(pipeline.text_encoder)  # the embeddings are in the cache
    assert draw(pipeline).ignored == 0


def test_a_pack_for_another_base_is_refused(brand: Brand, tmp_path: Path) -> None:
    other = tiny.tiny_base(tmp_path / "other", seed=7)
    with pytest.raises(PackUnfit, match=r"Set ONBRAND_MODEL and ONBRAND_MODEL_PATH to the pack's own base, or build"):
        load_pipeline(other, brand.pack)


def test_a_model_with_another_output_than_the_probe_is_refused(brand: Brand) -> None:
    """A LoRA without effect, or another LoRA, looks like this."""
    path = brand.pack.directory / "pack.json"
    document = path.read_text(encoding="utf-8")
    manifest = json.loads(document)
    manifest["probe"] = {"base": manifest["probe"]["fused"], "fused": manifest["probe"]["base"]}
    path.write_text(json.dumps(manifest), encoding="utf-8")
    try:
        with pytest.raises(ProbeMismatch, match="LoRA may not be in effect"):
            load_pipeline(brand.base, load_pack(brand.pack.directory), precision=PrecisionChoice.FLOAT32)
    finally:
        path.write_text(document, encoding="utf-8")


def test_an_unsupported_precision_is_refused_with_its_name(tmp_path: Path) -> None:
    base = tiny.tiny_base(tmp_path / "base", "hidream-i1-fast")
    pack = tiny.tiny_pack(tmp_path / "pack", base, {"x": torch.zeros(1)}, ["x"])
    mini = Base(base.folder, type(base.manifest)(1, "mini", base.manifest.sources, base.manifest.files))
    mini_pack = BrandPack(
        pack.directory, pack.id, type(pack.manifest)(**{**vars(pack.manifest), "base_model": "mini", "base": mini.id})
    )
    with pytest.raises(
        SetupError, match=r"does not support the precision int8: set ONBRAND_PRECISION to one of float32"
    ):
        load_pipeline(mini, mini_pack, precision=PrecisionChoice.INT8)


def test_loading_opens_no_connection_and_leaves_no_thread(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("loading opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    before = set(threading.enumerate())
    brand.load()
    assert set(threading.enumerate()) <= before
