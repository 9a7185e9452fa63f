"""`make demo-brand` goes on where it was: what of a training is done is read from its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.mini.recipe.demo import Demo, main
from onbrand.config import Settings


def demo(folder: Path, steps: int | None = None) -> Demo:
    return Demo(folder, Settings(), steps)


def begin(folder: Path, steps: int, checkpoints: int) -> None:
    """A run of so many steps with checkpoints every two."""
    run = folder / "run"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"settings": {"steps": steps}}))
    for number in range(1, checkpoints + 1):
        (run / "checkpoints" / f"{2 * number:06d}").mkdir(parents=True)
        (run / "checkpoints" / f"{2 * number:06d}" / "checkpoint.json").write_text("{}")


def test_a_training_begins_goes_on_and_is_done(tmp_path: Path) -> None:
    assert demo(tmp_path).training() == ["train", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    assert demo(tmp_path, 6).training() == [*(demo(tmp_path).training() or []), "--steps", "6"]
    begin(tmp_path, steps=6, checkpoints=2)
    assert (demo(tmp_path).training() or [])[-1] == "--resume"
    begin(tmp_path / "done", steps=6, checkpoints=3)
    assert demo(tmp_path / "done").training() is None
    assert demo(tmp_path / "done", 6).training() is None


def test_another_number_of_steps_is_left_to_the_command_that_refuses_it(tmp_path: Path) -> None:
    begin(tmp_path, steps=6, checkpoints=3)
    assert (demo(tmp_path, 8).training() or [])[-3:] == ["--steps", "8", "--resume"]


def test_without_an_evaluation_there_is_no_pack(tmp_path: Path) -> None:
    begin(tmp_path, steps=6, checkpoints=3)
    assert demo(tmp_path).pack() is None


def test_another_model_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ONBRAND_MODEL", "hidream-i1-full")
    assert main([]) == 78
    assert capsys.readouterr().out == "The demo is for the mini: unset ONBRAND_MODEL.\n"
