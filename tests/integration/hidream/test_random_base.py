"""Random weights for `onbrand bench`: they have the published sizes, are verified like real ones, and can draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers

from onbrand.hidream.benchmark.configurations import HIDREAM_I1
from onbrand.hidream.benchmark.engines import Candidate, with_steps
from onbrand.hidream.benchmark.measure import Effort, measure
from onbrand.hidream.benchmark.random_base import random_base, random_pack
from onbrand.hidream.models import MODELS, Precision
from onbrand.hidream.weights.stream import stream_tensors
from onbrand.packs.base import Base
from tests.tiny import tiny_pipeline


@pytest.mark.parametrize("folder", HIDREAM_I1)
def test_published_configurations_have_the_sizes_in_the_table(folder: str) -> None:
    component, config = MODELS["hidream-i1-fast"].components[folder], dict(HIDREAM_I1[folder])
    with torch.device("meta"):
        if "_class_name" in config:
            assert config["_class_name"] == component.class_name
            network = getattr(diffusers, component.class_name).from_config(config)
        else:
            network_class = getattr(transformers, component.class_name)
            network = network_class(network_class.config_class.from_dict(config))
    assert sum(parameter.numel() for parameter in network.parameters()) == component.parameters


def test_all_variants_have_the_same_size() -> None:
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


def test_random_weights_are_the_same_each_time(random_weights: Base) -> None:
    random_weights.verify()


def test_random_weights_draw_in_the_baseline_and_in_ours(random_weights: Base, tmp_path: Path) -> None:
    pack = with_steps(random_pack(random_weights, tmp_path), 2)
    found = measure(
        random_weights,
        pack,
        [Candidate(None), Candidate(Precision.INT8)],
        Effort(images=1, turns=1, runs=1, matrix_seconds=0.01),
    )
    assert [row.failure for row in found.rows] == ["", ""]
    assert all(row.seconds for row in found.rows)
    assert found.rows[0].loads == {}  # diffusers can load only from a directory
    assert found.base == "random weights"


def test_random_matrices_keep_the_size_of_their_input_and_are_all_different(random_weights: Base) -> None:
    weights = dict(stream_tensors(random_weights.folder, random_weights.within("transformer")))
    names = [f"double_stream_blocks.0.block.ff_i.experts.{expert}.w1.weight" for expert in range(4)]
    assert len({tuple(weights[name].flatten().tolist()) for name in names}) == 4
    for name in names:
        assert weights[name].float().std() == pytest.approx(weights[name].shape[1] ** -0.5, rel=0.1)
    assert (weights["double_stream_blocks.0.block.attn1.q_rms_norm.weight"] == 1).all()
