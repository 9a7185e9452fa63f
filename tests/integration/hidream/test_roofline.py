"""The roofline of `onbrand bench`: torch's counter and a formula give the same operations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import Tensor

from onbrand.hidream.benchmark import roofline
from onbrand.hidream.benchmark.configurations import HIDREAM_I1
from onbrand.hidream.models import Precision
from onbrand.hidream.text.encode import Embeddings
from tests.integration.hidream import networks
from tests.tiny import SIZE, tiny_pipeline


def by_hand(config: Mapping[str, Any], batch: int, tokens: int, text: int) -> int:
    """The operations of a step, computed from the configuration.

    `tokens` is the number of image tokens, `text` the number of tokens of each of the three texts.
    """
    width: int = config["attention_head_dim"] * config["num_attention_heads"]
    t5, llama = config["caption_channels"]
    patch = config["patch_size"] ** 2
    blocks: int = config["num_layers"] + config["num_single_layers"]

    def hidden(width: int) -> int:
        return 256 * math.ceil(int(2 * width / 3) / 256)

    routed, shared = hidden(4 * width), hidden(2 * width)
    active: int = config["num_activated_experts"]
    experts: int = config["num_routed_experts"]
    everything = tokens + 3 * text

    def feed_forward(rows: int) -> int:
        """Three matrices of each active expert and of the shared one, and the gate."""
        return rows * width * (3 * (active * routed + shared) + experts)

    linear: int = tokens * config["in_channels"] * patch * width  # to patches and back
    linear += tokens * width * patch * config["out_channels"]
    linear += blocks * text * llama * width + text * t5 * width  # projections of the texts
    linear += 256 * width + width * width + config["text_emb_dim"] * width + width * width  # time and pooled text
    linear += config["num_layers"] * 12 * width * width + config["num_single_layers"] * 6 * width * width  # modulation
    linear += 2 * width * width  # the last layer
    linear += blocks * everything * 4 * width * width  # projections of attention
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
    counted = roofline.flops_of_step(config, batch, SIZE, text_of(config, 8))
    assert counted == by_hand(config, batch, SIZE * SIZE // 4, 8)


def test_a_step_of_hidream_i1_takes_77_8_tflop_a_picture() -> None:
    """The figure in docs/models.md, from torch's counter and from the formula."""
    config = HIDREAM_I1["transformer"]
    counted = roofline.flops_of_step(config, 4, 128, text_of(config, 128))
    assert counted == by_hand(config, 4, 64 * 64, 128)
    assert counted / 4 == pytest.approx(77.79e12, rel=1e-3)


def test_the_count_without_weights_equals_the_count_with_weights() -> None:
    transformer = networks.ours(networks.lively_transformer(), Precision.INT8)
    computed = roofline.flops(lambda: networks.output(transformer, 2, torch.bfloat16))
    config = asdict(transformer.config)
    assert computed == roofline.flops_of_step(config, 2, SIZE, text_of(config, 8))
