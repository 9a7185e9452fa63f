"""The training loop: the same bytes after a kill as without one, and the parts that it is made of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from onbrand.errors import TrainingDiverged
from onbrand.training.checkpoints import checkpoints, load_checkpoint, load_newest, save_checkpoint
from onbrand.training.ema import Average
from onbrand.training.flow import TimeSampling, flow_loss, noisy
from onbrand.training.loop import Pace, Training, run
from onbrand.training.optimiser import Optimiser
from onbrand.training.progress import Progress
from onbrand.training.schedule import Schedule

EVERY_STEP = Pace(checkpoint=0, sheet=1e9, line=1e9)
STEPS = 12


def tiny_training(dies_at: int | None = None) -> Training:
    """A network of two matrices that learns to copy its input; `dies_at`: the process is killed in that step."""
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4))
    first, *others = network.parameters()
    optimiser = Optimiser([first], others, learning_rate=0.01)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        if step == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        x = torch.randn(5, 4, generator=generator)
        return torch.as_tensor((network(x) - x).square().mean())

    schedule = Schedule(warmup=3, decay_from=8, decay=4)
    return Training(network, optimiser, Average(network, window=5), loss, batch=5, schedule=schedule, seed=11)


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    run(tiny_training(), tmp_path / "whole", pace=EVERY_STEP)
    program = (
        "import sys; from pathlib import Path; from tests.unit.training.test_training_loop import *\n"
        "run(tiny_training(dies_at=7), Path(sys.argv[1]), pace=EVERY_STEP)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "killed")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert run(tiny_training(), tmp_path / "killed", pace=EVERY_STEP) == STEPS
    whole, gone_on = (checkpoints(tmp_path / name)[-1].read_bytes() for name in ("whole", "killed"))
    assert whole == gone_on


def test_a_run_stops_at_its_schedules_end(tmp_path: Path) -> None:
    training = tiny_training()
    assert run(training, tmp_path, pace=EVERY_STEP) == training.schedule.last_step == STEPS


def test_sheets_get_the_averaged_weights(tmp_path: Path) -> None:
    seen: list[int] = []
    pace = Pace(checkpoint=1e9, sheet=0, line=1e9)
    run(tiny_training(), tmp_path, pace=pace, steps=3, on_sheet=lambda step, average: seen.append(step + average.every))
    assert seen == [2, 3, 4]


def test_a_half_written_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, {"step": 1})
    (tmp_path / "step-000000002.partial").write_bytes(b"half")
    assert load_newest(tmp_path) == {"step": 1}


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    state = {
        "tensors": {7: shared, "again": shared},
        "values": [1, 2.5, None, True, "é"],
        "pair": (0.9, 0.98),
        "none": {},
    }
    found = load_checkpoint(save_checkpoint(tmp_path, 1, state))
    assert torch.equal(found["tensors"][7], shared)
    assert torch.equal(found["tensors"]["again"], shared)
    assert {name: found[name] for name in ("values", "pair", "none")} == {
        name: state[name] for name in ("values", "pair", "none")
    }


def test_a_checkpoint_refuses_what_it_can_t_hold(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Path"):
        save_checkpoint(tmp_path, 1, {"path": tmp_path})


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_what_was(tmp_path: Path) -> None:
    training = tiny_training()
    usual = training.loss

    def loss(step: int, generator: torch.Generator) -> Tensor:
        found = usual(step, generator)
        assert isinstance(found, Tensor)
        return found * torch.nan if step == 5 else found

    training.loss = loss
    with pytest.raises(TrainingDiverged, match="no longer a number in step 6"):
        run(training, tmp_path, pace=EVERY_STEP)
    left = load_newest(tmp_path)
    assert left is not None
    assert left["step"] == 5
    assert all(torch.isfinite(weight).all() for weight in left["weights"].values())


def test_a_milestone_comes_at_each_multiple_and_at_the_end_before_its_checkpoint(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def note(step: int, _average: Average, progress: Progress) -> None:
        seen.append((step, len(progress.losses)))
        assert not [path for path in checkpoints(tmp_path) if f"{step:09d}" in path.name]

    run(tiny_training(), tmp_path, pace=Pace(1e9, 1e9, 1e9, milestone=5), on_milestone=note)
    assert seen == [(5, 5), (10, 10), (12, 12)]


def test_old_checkpoints_go(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, {"step": step}, keep=2)
    assert [load_checkpoint(path)["step"] for path in checkpoints(tmp_path)] == [2, 3]


def test_the_rate_warms_up_holds_and_comes_down_to_zero() -> None:
    schedule = Schedule(warmup=4, decay_from=10, decay=5)
    factors = [schedule.factor(step) for step in range(15)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4:10] == [1.0] * 6
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == 0.0


def test_without_a_decay_a_run_has_no_end() -> None:
    assert Schedule(warmup=1).last_step is None
    assert Schedule(warmup=1).factor(10**9) == 1.0


def test_noise_and_picture_are_the_ends_of_a_straight_line() -> None:
    latents, noise = torch.ones(3, 2, 4, 4), torch.full((3, 2, 4, 4), 5.0)
    assert noisy(latents, noise, torch.tensor([0.0, 0.5, 1.0]))[:, 0, 0, 0].tolist() == [1.0, 3.0, 5.0]


def test_the_loss_is_zero_for_the_line_s_own_direction() -> None:
    generator = torch.Generator().manual_seed(0)
    latents, noise = (torch.randn(4, 2, 3, 3, generator=generator) for _ in range(2))
    assert flow_loss(lambda _x, _t: noise - latents, latents, noise, torch.full((4,), 0.3)).max() == 0


@pytest.mark.parametrize("mean", [-0.5, 0.0, 0.8])
def test_half_of_the_times_lie_on_each_side_of_the_mean_s_sigmoid(mean: float) -> None:
    times = TimeSampling(mean).times(64, torch.Generator().manual_seed(1))
    middle = torch.sigmoid(torch.tensor(mean))
    assert abs(int((times < middle).sum()) - 32) <= 1


def test_the_average_forgets_the_random_start() -> None:
    network = nn.Linear(2, 2, bias=False)
    average = Average(network, window=100)
    with torch.no_grad():
        network.weight.fill_(7.0)
    for step in range(1, 60):
        average.update(network, step)
    assert torch.allclose(average.weights["weight"], torch.full((2, 2), 7.0), atol=0.05)


def test_progress_says_seconds_to_go_only_for_a_run_with_an_end(tmp_path: Path) -> None:
    for last_step, has_end in ((None, False), (10, True)):
        progress = Progress(tmp_path / "progress.jsonl", last_step)
        progress.step(5, 2.0)
        progress.step(10, 1.0)
        line = progress.line(2, 10)
        assert (line.seconds_to_go is not None) is has_end
        assert 1.0 < line.loss < 2.0
        assert ("no end set" in line.text()) is not has_end
