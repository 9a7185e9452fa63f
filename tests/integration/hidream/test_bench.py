"""`onbrand bench` at tiny size: every row is there, its figures hang together, and the floor counts what must be done.

Nothing here looks at how long anything took.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers
from torch import Tensor

from onbrand import bench as benching
from onbrand.bench import Choice
from onbrand.config import ModelName, Settings
from onbrand.errors import ConfigError, WeightsDamaged
from onbrand.folder import LocalFolder
from onbrand.hidream import engines, floor
from onbrand.hidream.bench import Bench, Effort, measure
from onbrand.hidream.configurations import HIDREAM_I1
from onbrand.hidream.encode import Embeddings
from onbrand.hidream.encoders import load_text_encoder
from onbrand.hidream.engines import Candidate, Variant, candidates, with_steps
from onbrand.hidream.models import MODELS, Precision
from onbrand.hidream.random_base import random_base, random_pack
from onbrand.hidream.stock import load_stock
from onbrand.hidream.stream import tensors
from onbrand.packs import SAMPLE, Base, BrandPack, load_base, load_pack
from tests.integration.hidream import networks
from tests.system import onbrand
from tests.tiny import SIZE, tiny_base, tiny_pipeline

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
def measured() -> Bench:
    """Of the mini model, which is quicker than the tiny one: that has a decoder of 7 stages. It knows no 8 bit."""
    directory = Settings(model=ModelName.MINI).weights_dir
    chosen = candidates(MODELS["mini"], [Precision.FLOAT32, Precision.INT8], [Variant.LOOP])[:-1]
    pack = with_steps(load_pack(directory / SAMPLE), STEPS)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine several wait for each other
    try:
        return measure(load_base(LocalFolder(directory)), pack, chosen, EFFORT)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def document(measured: Bench) -> dict[str, Any]:
    return json.loads(benching.as_json(measured))  # type: ignore[no-any-return]


def leaves(document: Any) -> Iterator[Any]:
    if isinstance(document, dict):
        document = list(document.values())
    if isinstance(document, list):
        for part in document:
            yield from leaves(part)
    else:
        yield document


def test_there_is_a_row_for_diffusers_and_for_each_form_of_ours(document: dict[str, Any]) -> None:
    assert [row["name"] for row in document["rows"]] == [
        "stock diffusers",
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


def test_every_turn_and_run_is_in_the_samples_and_the_warm_up_is_not(measured: Bench) -> None:
    for row in measured.rows[:3]:
        assert len(row.drawings) == len(row.denoisings) == EFFORT.turns * EFFORT.runs
        assert {len(samples) for samples in row.loads.values()} == {EFFORT.turns}
        assert len(row.first_steps) == len(row.new_prompts) == len(row.peaks) == EFFORT.turns
    assert len(measured.flops_per_second) == EFFORT.turns * 3 + 1  # not for what failed before


def test_ratios_are_those_of_the_seconds(document: dict[str, Any]) -> None:
    stock = statistics.median(document["rows"][0]["drawing_seconds"])
    counted = document["floor"]
    assert counted["seconds"] == pytest.approx(counted["flops"]["total"] / max(counted["flops_per_second"]))
    for row in document["rows"][:3]:
        seconds = statistics.median(row["drawing_seconds"])
        assert row["times_the_floor"] == pytest.approx(seconds / counted["seconds"])
        assert row["times_as_fast_as_stock"] == pytest.approx(stock / seconds)
        assert row["steps_per_second"] * max(row["drawing_seconds"]) > STEPS  # reading and decoding take some of it


def test_the_document_says_what_it_holds_for(document: dict[str, Any]) -> None:
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


def test_the_table_has_the_floor_and_every_row(measured: Bench) -> None:
    lines = benching.as_table(measured).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in table[2:]] == ["floor", *(row.name for row in measured.rows)]
    assert {line.count("|") for line in table} == {table[0].count("|")}
    assert any(torch.__version__ in line and "load average" in line for line in lines)


def test_what_cannot_be_held_gets_a_row_that_says_why(measured: Bench, document: dict[str, Any]) -> None:
    assert document["rows"][3]["failure"].startswith("Mini HiDream can't be held as int8")
    assert document["rows"][3]["median_seconds"] is None
    assert "| ours, int8 | Mini HiDream can't be held as int8" in benching.as_table(measured)


def test_a_base_that_is_not_whole_is_no_row_but_an_error(base: Base, pack: BrandPack) -> None:
    files = tuple(replace(file, sha256="0" * 64) for file in base.manifest.files)
    damaged = replace(base, manifest=replace(base.manifest, files=files))
    other = replace(pack, manifest=replace(pack.manifest, base=damaged.id))
    with pytest.raises(WeightsDamaged):
        measure(damaged, other, [Candidate(Precision.FLOAT32)], EFFORT)


def test_the_loop_computes_what_the_grouped_product_computes() -> None:
    transformer = networks.ours(networks.lively_transformer(), Precision.FLOAT32)
    grouped = networks.output(transformer, 2)
    engines._loop(transformer)
    assert any("product" in module.__dict__ for module in transformer.modules())
    assert networks.error(networks.output(transformer, 2), grouped) < 1e-6


def test_stock_and_ours_read_the_same_prompt(base: Base, pack: BrandPack) -> None:
    """So the two rows are of the same work: 128 tokens each, the brand's suffix included."""
    manifest = pack.manifest
    texts = load_stock(base, manifest, CPU)._texts("a kettle", 1)
    encoder = load_text_encoder(
        base, MODELS["hidream-i1-fast"], token_limit=128, precision=Precision.FLOAT32, device=CPU
    )
    ours = encoder.encode("a kettle", manifest.prompt_suffix).embeddings
    for name, tensor in (("embeds_llama3", ours.llama3), ("embeds_t5", ours.t5)):
        assert torch.allclose(texts[f"prompt_{name}"], tensor, atol=1e-4)
    assert torch.allclose(texts["pooled_prompt_embeds"], ours.pooled, atol=1e-4)


# The floor.


def by_hand(config: Mapping[str, Any], batch: int, tokens: int, text: int) -> int:
    """A step's operations from the configuration alone. `tokens` of a picture, `text` of each of the three texts."""
    width = config["attention_head_dim"] * config["num_attention_heads"]
    t5, llama = config["caption_channels"]
    patch = config["patch_size"] ** 2
    blocks = config["num_layers"] + config["num_single_layers"]

    def hidden(width: int) -> int:
        return 256 * math.ceil(int(2 * width / 3) / 256)

    routed, shared = hidden(4 * width), hidden(2 * width)
    active, experts = config["num_activated_experts"], config["num_routed_experts"]
    everything = tokens + 3 * text

    def feed_forward(rows: int) -> int:
        """Of a token: three matrices of each active expert and of the shared one, and the gate."""
        return rows * width * (3 * (active * routed + shared) + experts)

    linear = tokens * config["in_channels"] * patch * width  # into patches, and out of them
    linear += tokens * width * patch * config["out_channels"]
    linear += blocks * text * llama * width + text * t5 * width  # texts' projections
    linear += 256 * width + width * width + config["text_emb_dim"] * width + width * width  # time and pooled text
    linear += config["num_layers"] * 12 * width * width + config["num_single_layers"] * 6 * width * width  # modulation
    linear += 2 * width * width  # of the last layer
    linear += blocks * everything * 4 * width * width  # attention's projections
    linear += config["num_layers"] * (feed_forward(tokens) + 3 * text * width * 3 * routed)
    linear += config["num_single_layers"] * feed_forward(everything)
    attention = blocks * 2 * everything * everything * width
    return 2 * batch * (linear + attention)


def text_of(config: Mapping[str, Any], count: int) -> Embeddings:
    t5, llama = config["caption_channels"]

    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, device="meta")

    layers = 1 + max(config["llama_layers"])
    return Embeddings(empty(layers, 1, count, llama), empty(1, count, t5), empty(1, config["text_emb_dim"]))


@pytest.mark.parametrize("batch", [1, 4])
def test_a_step_is_counted_as_by_hand_at_tiny_size(batch: int) -> None:
    config = tiny_pipeline().transformer.config
    counted = floor.flops_of_step(config, batch, SIZE, text_of(config, 8))
    assert counted == by_hand(config, batch, SIZE * SIZE // 4, 8)


def test_a_step_of_hidream_i1_takes_77_8_tflop_a_picture() -> None:
    """What docs/models.md says, twice: from torch's counter, and from the formula."""
    config = HIDREAM_I1["transformer"]
    counted = floor.flops_of_step(config, 4, 128, text_of(config, 128))
    assert counted == by_hand(config, 4, 64 * 64, 128)
    assert counted / 4 == pytest.approx(77.79e12, rel=1e-3)


def test_what_the_floor_counts_without_weights_is_what_is_computed_with_them() -> None:
    transformer = networks.ours(networks.lively_transformer(), Precision.INT8)
    computed = floor.flops(lambda: networks.output(transformer, 2, torch.bfloat16))
    assert computed == floor.flops_of_step(transformer.config, 2, SIZE, text_of(transformer.config, 8))


# Random weights.


@pytest.mark.parametrize("folder", HIDREAM_I1)
def test_published_configurations_have_the_size_that_the_table_says(folder: str) -> None:
    component, config = MODELS["hidream-i1-fast"].components[folder], dict(HIDREAM_I1[folder])
    with torch.device("meta"):
        if "_class_name" in config:
            assert config["_class_name"] == component.class_name
            network = getattr(diffusers, component.class_name).from_config(config)
        else:
            network_class = getattr(transformers, component.class_name)
            network = network_class(network_class.config_class.from_dict(config))
    assert sum(parameter.numel() for parameter in network.parameters()) == component.parameters


def test_all_variants_are_of_one_size() -> None:
    sizes = [
        {folder: part.parameters for folder, part in MODELS[name].components.items()}
        for name in MODELS
        if name != "mini"
    ]
    assert len(sizes) == 3
    assert all(size == sizes[0] for size in sizes)


@pytest.fixture(scope="module")
def random_weights() -> Base:
    pipeline = tiny_pipeline()
    configurations: dict[str, dict[str, Any]] = {}
    for folder in HIDREAM_I1:
        part = getattr(pipeline, folder)
        if isinstance(part, transformers.PreTrainedModel):
            configurations[folder] = part.config.to_dict() | {"architectures": [type(part).__name__]}
        else:
            configurations[folder] = dict(part.config) | {"_class_name": type(part).__name__}
    return random_base("hidream-i1-fast", configurations)


def test_random_weights_are_the_same_each_time_and_whole(random_weights: Base) -> None:
    random_weights.verify()


def test_random_weights_draw_in_stock_and_in_ours(random_weights: Base, tmp_path: Path) -> None:
    pack = with_steps(random_pack(random_weights, tmp_path), STEPS)
    found = measure(
        random_weights, pack, [Candidate(None), Candidate(Precision.INT8)], replace(EFFORT, turns=1, runs=1, images=1)
    )
    assert [row.failure for row in found.rows] == ["", ""]
    assert all(row.seconds for row in found.rows)
    assert found.rows[0].loads == {}  # diffusers can't load what isn't in a directory
    assert found.base == "random weights"


def test_random_matrices_keep_the_size_of_what_they_multiply_and_are_all_different(random_weights: Base) -> None:
    weights = dict(tensors(random_weights.folder, random_weights.within("transformer")))
    names = [f"double_stream_blocks.0.block.ff_i.experts.{expert}.w1.weight" for expert in range(4)]
    assert len({tuple(weights[name].flatten().tolist()) for name in names}) == 4
    for name in names:
        assert weights[name].float().std() == pytest.approx(weights[name].shape[1] ** -0.5, rel=0.1)
    assert (weights["double_stream_blocks.0.block.attn1.q_rms_norm.weight"] == 1).all()


# The command.


def test_a_large_model_without_a_gpu_is_refused_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"61 GB of weights, and there is no GPU here: .*--force"):
        benching.bench(Settings(model=ModelName("hidream-i1-dev")), Choice(is_random=True), lambda _: None)


def test_the_command_prints_json() -> None:
    directory = Settings(model=ModelName.MINI).weights_dir
    least = ("--images=1", "--steps=1", "--turns=1", "--runs=1")
    done = onbrand("bench", "--model=mini", f"--model-path={directory}", "--precision=float32", *least, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [row["name"] for row in document["rows"]] == ["stock diffusers", "ours, float32"]
    assert (document["model"], document["weights"]) == ("mini", str(directory))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--precision", "int7"], "One of int7 can't be measured: choose among float32, bfloat16, int8."),
        (["--also", "magic"], "One of magic can't be measured: choose among compiled, loop."),
        (["--random"], "Mini HiDream is here with its own weights: leave out --random."),
    ],
)
def test_what_cannot_be_measured_is_one_plain_sentence(arguments: list[str], sentence: str) -> None:
    refused = onbrand("bench", *arguments)
    assert refused.returncode == 78
    assert refused.stderr.splitlines()[-1] == f"onbrand: {sentence}"
