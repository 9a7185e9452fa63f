"""`onbrand bench` at tiny size: every row is there, and its figures are consistent. No test depends on the speed."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from onbrand.cli import bench as bench_command
from onbrand.cli import bench_report
from onbrand.cli.bench import Choice
from onbrand.config import ModelName, Settings
from onbrand.errors import ChecksumMismatch, ConfigError
from onbrand.hidream.benchmark import engines
from onbrand.hidream.benchmark.diffusers_baseline import load_baseline
from onbrand.hidream.benchmark.engines import Candidate, Variant, candidates, with_steps
from onbrand.hidream.benchmark.measure import BenchmarkResult, Effort, measure
from onbrand.hidream.benchmark.random_base import random_pack
from onbrand.hidream.models import MODELS, Precision
from onbrand.hidream.text.load_encoders import load_text_encoder
from onbrand.packs.base import Base, load_base
from onbrand.packs.manifest import SAMPLE, BrandPack, load_pack
from onbrand.storage.files import LocalFolder
from tests.integration.hidream import networks
from tests.system import onbrand
from tests.tiny import tiny_base

CPU = torch.device("cpu")
EFFORT = Effort(images=1, turns=2, runs=2, matrix_seconds=0.01)
STEPS = 2


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return tiny_base(tmp_path_factory.mktemp("base"), "hidream-i1-fast")


@pytest.fixture(scope="module")
def pack(base: Base, tmp_path_factory: pytest.TempPathFactory) -> BrandPack:
    return with_steps(random_pack(base, tmp_path_factory.mktemp("pack")), STEPS)


@pytest.fixture(scope="module")
def measured() -> BenchmarkResult:
    """The mini model, whose decoder is faster than the tiny HiDream's with its 7 stages. It does not support 8 bit."""
    directory = Path(Settings(model=ModelName.MINI).model_place)
    chosen = candidates(MODELS["mini"], [Precision.FLOAT32, Precision.INT8], [Variant.LOOP])[:-1]
    pack = with_steps(load_pack(directory / SAMPLE), STEPS)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine, several threads wait for each other
    try:
        return measure(load_base(LocalFolder(directory)), pack, chosen, EFFORT)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def document(measured: BenchmarkResult) -> dict[str, Any]:
    return json.loads(bench_report.as_json(measured))  # type: ignore[no-any-return]


def leaves(document: Any) -> Iterator[Any]:
    if isinstance(document, dict):
        document = list(document.values())
    if isinstance(document, list):
        for part in document:
            yield from leaves(part)
    else:
        yield document


def test_there_is_a_row_for_diffusers_and_for_each_variant_of_ours(document: dict[str, Any]) -> None:
    assert [row["name"] for row in document["rows"]] == [
        "diffusers baseline",
        "ours, float32",
        "ours, float32, loop",
        "ours, int8",
    ]


def test_every_figure_is_finite_and_positive(document: dict[str, Any]) -> None:
    settings = {"guidance_scale", "load_average"}
    figures = [leaf for key, part in document.items() if key not in settings for leaf in leaves(part)]
    figures = [figure for figure in figures if figure is not None and not isinstance(figure, str)]
    assert len(figures) > 50
    assert all(math.isfinite(figure) and figure > 0 for figure in figures)


def test_the_samples_have_every_turn_and_run_but_not_the_warm_up(measured: BenchmarkResult) -> None:
    for row in measured.rows[:3]:
        assert len(row.drawings) == len(row.denoisings) == EFFORT.turns * EFFORT.runs
        assert {len(samples) for samples in row.loads.values()} == {EFFORT.turns}
        assert len(row.first_steps) == len(row.new_prompts) == len(row.peaks) == EFFORT.turns
    assert (
        len(measured.flops_per_second) == EFFORT.turns * 3 + 1
    )  # a candidate that failed is skipped in the second turn


def test_ratios_are_those_of_the_seconds(document: dict[str, Any]) -> None:
    baseline = statistics.median(document["rows"][0]["drawing_seconds"])
    counted = document["floor"]
    assert counted["seconds"] == pytest.approx(counted["flops"]["total"] / max(counted["flops_per_second"]))
    for row in document["rows"][:3]:
        seconds = statistics.median(row["drawing_seconds"])
        assert row["times_the_floor"] == pytest.approx(seconds / counted["seconds"])
        assert row["times_as_fast_as_stock"] == pytest.approx(baseline / seconds)
        assert (
            row["steps_per_second"] * max(row["drawing_seconds"]) > STEPS
        )  # encoding and decoding take a part of the time


def test_the_document_describes_the_measurement(document: dict[str, Any]) -> None:
    assert set(document) == {
        "schema",
        "model",
        "weights",
        "images",
        "steps",
        "guidance_scale",
        "turns",
        "runs",
        "warm_up_drawings_left_out",
        "device",
        "machine",
        "versions",
        "load_average",
        "floor",
        "rows",
    }
    assert {"torch", "diffusers", "python"} == set(document["versions"])
    assert (document["schema"], document["images"], document["steps"]) == (1, 1, STEPS)
    row = {
        "name",
        "plan",
        "failure",
        "drawing_seconds",
        "median_seconds",
        "steps_per_second",
        "times_the_floor",
        "times_as_fast_as_stock",
        "peak_bytes",
        "load_seconds",
        "first_step_seconds",
        "prompt_seconds",
    }
    assert all(set(found) == row for found in document["rows"])
    assert set(document["rows"][1]["load_seconds"]) == {"encoders", "transformer", "decoder", "check"}
    assert set(document["rows"][0]["load_seconds"]) == {"encoders", "transformer", "decoder"}


def test_the_table_has_the_roofline_and_every_row(measured: BenchmarkResult) -> None:
    lines = bench_report.as_table(measured).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in table[2:]] == ["floor", *(row.name for row in measured.rows)]
    assert {line.count("|") for line in table} == {table[0].count("|")}
    assert any(torch.__version__ in line and "load average" in line for line in lines)


def test_an_unsupported_precision_gets_a_row_with_the_reason(
    measured: BenchmarkResult, document: dict[str, Any]
) -> None:
    assert document["rows"][3]["failure"].startswith("Mini HiDream does not support the precision int8")
    assert document["rows"][3]["median_seconds"] is None
    assert "| ours, int8 | Mini HiDream does not support the precision int8" in bench_report.as_table(measured)


def test_a_damaged_base_is_an_error_and_not_a_row(base: Base, pack: BrandPack) -> None:
    files = tuple(replace(file, sha256="0" * 64) for file in base.manifest.files)
    damaged = replace(base, manifest=replace(base.manifest, files=files))
    other = replace(pack, manifest=replace(pack.manifest, base=damaged.id))
    with pytest.raises(ChecksumMismatch):
        measure(damaged, other, [Candidate(Precision.FLOAT32)], EFFORT)


def test_the_loop_computes_what_the_grouped_product_computes() -> None:
    transformer = networks.ours(networks.lively_transformer(), Precision.FLOAT32)
    grouped = networks.output(transformer, 2)
    engines._use_loop(transformer)
    assert any("grouped_mm" in module.__dict__ for module in transformer.modules())
    assert networks.error(networks.output(transformer, 2), grouped) < 1e-6


def test_the_baseline_and_ours_encode_the_same_prompt(base: Base, pack: BrandPack) -> None:
    """So both rows measure the same work: 128 tokens, including the brand's suffix."""
    manifest = pack.manifest
    texts = load_baseline(base, manifest, CPU)._embeddings("a kettle", 1)
    encoder = load_text_encoder(
        base, MODELS["hidream-i1-fast"], token_limit=128, precision=Precision.FLOAT32, device=CPU
    )
    ours = encoder.encode("a kettle", manifest.prompt_suffix).embeddings
    for name, tensor in (("embeds_llama3", ours.llama3), ("embeds_t5", ours.t5)):
        assert torch.allclose(texts[f"prompt_{name}"], tensor, atol=1e-4)
    assert torch.allclose(texts["pooled_prompt_embeds"], ours.pooled, atol=1e-4)


# -- the command


def test_a_large_model_without_a_gpu_is_refused_before_any_weights_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"61 GB of weights, and there is no GPU here: .*--force"):
        bench_command.bench(Settings(model=ModelName("hidream-i1-dev")), Choice(is_random=True), lambda _: None)


def test_the_command_prints_json() -> None:
    directory = Path(Settings(model=ModelName.MINI).model_place)
    minimum = ("--images=1", "--steps=1", "--turns=1", "--runs=1")
    done = onbrand("bench", "--model=mini", f"--model-path={directory}", "--precision=float32", *minimum, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [row["name"] for row in document["rows"]] == ["diffusers baseline", "ours, float32"]
    assert (document["model"], document["weights"]) == ("mini", str(directory))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--precision", "int7"], "These can't be measured: int7. Choose from float32, bfloat16, int8."),
        (["--also", "magic"], "These can't be measured: magic. Choose from compiled, loop."),
        (["--random"], "Mini HiDream comes with its own weights: leave out --random."),
    ],
)
def test_wrong_arguments_give_one_sentence(arguments: list[str], sentence: str) -> None:
    refused = onbrand("bench", *arguments)
    assert refused.returncode == 78
    assert refused.stderr.splitlines()[-1] == f"onbrand: {sentence}"
