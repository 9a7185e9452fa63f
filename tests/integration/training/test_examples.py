"""What each step sees: every picture with its own caption, and the same whether a run stopped on the way or not."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from onbrand.hidream.models import MINI_TRAINING, MODELS, Precision
from onbrand.hidream.text.encode import Embeddings
from onbrand.training.cache import NO_TEXT, Cache
from onbrand.training.ema import trained
from onbrand.training.examples import Examples, held_out_loss
from onbrand.training.flow import TimeSampling, flow_loss
from onbrand.training.loop import Training, step_generator
from onbrand.training.lora import add_lora
from onbrand.training.settings import Choices, TrainingSettings, make_settings
from onbrand.training.train import make_training
from onbrand.training.velocity import stacked, velocity
from tests.integration.training.tiny_mini import CHANNELS, tiny_weights

NAMES = ("a.png", "b.png", "c.png", "d.png", "e.png", "f.png", "g.png")
SETTINGS = make_settings(MINI_TRAINING, Choices(batch=4, at_once=4, learning_rate=0.02), 7, Precision.FLOAT32)


def examples(names: tuple[str, ...] = NAMES) -> Examples:
    """Random latents and texts; none is like another."""
    generator = torch.Generator().manual_seed(8)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    captions = {name: f"caption of {name}" for name in names}
    latents = {name: random(CHANNELS, 8, 8) for name in names}
    texts = {}
    for text in (NO_TEXT, *captions.values()):
        pooled = random(1, 384)
        texts[text] = Embeddings(random(6, 1, 3, 384), pooled[:, None], pooled)
    return Examples(captions, Cache(latents, texts))


def network(settings: TrainingSettings = SETTINGS) -> Any:
    """The tiny network with a LoRA."""
    transformer = tiny_weights()
    row = MODELS["hidream-i1-full"].training
    assert row is not None
    add_lora(transformer, row.targets, settings.rank, settings.alpha, 1)
    return transformer


def step_of(training: Training, step: int) -> dict[str, Tensor]:
    """The gradients of one step, and its loss under the name `loss`."""
    total, loss = torch.zeros(()), training.loss(step, step_generator(training.seed, step))
    assert not isinstance(loss, Tensor)
    for part in loss:
        part.backward()
        total += part.detach()
    found = {
        name: parameter.grad.clone()
        for name, parameter in trained(training.network).items()
        if parameter.grad is not None
    }
    training.network.zero_grad()
    return {**found, "loss": total}


def test_every_picture_comes_once_before_one_comes_again_and_each_turn_has_another_order() -> None:
    several = examples()
    turns = [tuple(several.names(3, 7 * turn, 7)) for turn in range(20)]
    assert all(sorted(turn) == sorted(NAMES) for turn in turns)
    assert len(set(turns)) > 15
    across = several.names(3, 5, 4)
    assert across == [*turns[0][5:], *turns[1][:2]]


def test_what_a_step_sees_depends_on_the_seed_and_the_step_alone() -> None:
    one, other = examples(), examples()
    straight = [one.names(3, 4 * step, 4) for step in range(10)]
    assert [other.names(3, 4 * step, 4) for step in reversed(range(10))] == straight[::-1]
    assert [other.names(4, 4 * step, 4) for step in range(10)] != straight


def answered(transformer: Any, texts: Embeddings, noised: Tensor, times: Tensor) -> Tensor:
    """The network's velocity."""
    return velocity(transformer, noised, times, texts)


@pytest.mark.parametrize("step", range(6))
def test_each_picture_is_trained_with_its_own_caption_in_every_order(step: int) -> None:
    """The loss of a step is computed once more by hand, from the pairs as the folder has them."""
    several, settings = examples(), replace(SETTINGS, caption_dropout=0.4)
    transformer = network(settings)
    generator = step_generator(settings.seed, step)
    is_dropped = torch.rand(4, generator=generator) < 0.4
    noise = torch.randn(4, CHANNELS, 8, 8, generator=generator)
    times = TimeSampling(mean=math.log(settings.time_shift)).times(4, generator)
    expected = []
    for position, name in enumerate(several.names(settings.seed, 4 * step, 4)):
        caption = NO_TEXT if is_dropped[position] else f"caption of {name}"
        texts = stacked([several.cache.texts[caption]], torch.device("cpu"), torch.float32)
        latents = several.cache.latents[name][None]
        here = slice(position, position + 1)
        with torch.no_grad():
            answer = partial(answered, transformer, texts)
            loss = flow_loss(answer, latents, noise[here], times[here])
        expected.append(loss.item())
    found = step_of(make_training(transformer, several, settings), step)["loss"]
    assert found.item() == pytest.approx(sum(expected) / 4, rel=1e-5)


def test_about_so_many_captions_are_left_out_as_the_settings_say() -> None:
    dropped = Counter[bool]()
    for step in range(200):
        dropped.update((torch.rand(4, generator=step_generator(1, step)) < 0.1).tolist())
    assert 0.06 < dropped[True] / dropped.total() < 0.14


def test_four_passes_of_one_picture_train_what_one_pass_of_four_does() -> None:
    whole = step_of(make_training(network(), examples(), SETTINGS), 3)
    parts = step_of(make_training(network(), examples(), replace(SETTINGS, at_once=1)), 3)
    assert parts.keys() == whole.keys()
    for name, gradient in whole.items():
        assert torch.allclose(parts[name], gradient, rtol=1e-3, atol=1e-6), name


def test_one_picture_is_learnt_by_heart() -> None:
    settings = replace(SETTINGS, batch=1, at_once=1, caption_dropout=0.0, rank=16)
    alone = Examples({"a.png": "caption of a.png"}, examples().cache)
    training = make_training(network(settings), alone, settings)
    losses = []
    for _ in range(200):
        losses.append(step_of_and_move(training))
    assert losses[-1] < 0.05 * losses[0]


def step_of_and_move(training: Training) -> float:
    """One step, always with the same noise."""
    loss = next(iter(example_loss_of(training)))
    loss.backward()  # type: ignore[no-untyped-call]
    training.optimiser.step(1.0)
    return loss.item()


def example_loss_of(training: Training) -> list[Tensor]:
    """The parts of the loss of the first step."""
    loss = training.loss(0, step_generator(1, 0))
    return [loss] if isinstance(loss, Tensor) else list(loss)


def test_the_held_out_loss_is_the_same_each_time_and_of_each_picture_alone() -> None:
    several, transformer, sigmas = examples(), network(), (0.2, 0.8)
    captions = {name: several.captions[name] for name in NAMES[:2]}
    both = held_out_loss(transformer, captions, several.cache, sigmas, 1)
    assert held_out_loss(transformer, captions, several.cache, sigmas, 1) == both
    one_by_one = [
        held_out_loss(transformer, {name: caption}, several.cache, sigmas, 1) for name, caption in captions.items()
    ]
    for sigma in sigmas:
        assert both[sigma] == pytest.approx(sum(one[sigma] for one in one_by_one) / 2)
