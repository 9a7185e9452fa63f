"""The evaluation's figures of clean drawings: what a perfect miniature would reach."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("resvg_py", reason="the recipe's own dependency: extra `mini`")

from models.mini.recipe import evaluate
from models.mini.recipe.art import Art
from models.mini.recipe.data import make_cast
from models.mini.recipe.evaluate import Question, Thing
from models.mini.recipe.judge import Recogniser

NAMES = ["mug", "gift box", "laptop"]


def test_clean_drawings_have_the_asked_colours_and_grounds(tmp_path: Path) -> None:
    art = Art(None)
    cast = make_cast(art)
    asked = evaluate.questions(cast, NAMES, count=6) + evaluate.questions_of_two(cast, NAMES, count=4)
    assert asked == evaluate.questions(cast, NAMES, count=6) + evaluate.questions_of_two(cast, NAMES, count=4)
    figures = evaluate.evaluate(evaluate.clean_drawings(cast, art, asked), asked, Recogniser(3, width=8), NAMES)
    assert figures.pictures == 10 * len(evaluate.SEEDS)
    assert figures.right_colour == 1
    assert figures.right_ground == 1
    assert figures.two_colour == 1
    assert figures.acutance > 0.1
    evaluate.write(tmp_path / "evaluation.json", {"clean": figures}, asked)
    kept = json.loads((tmp_path / "evaluation.json").read_text("utf-8"))
    assert kept["figures"]["clean"]["right_ground"] == 1
    console = Console(record=True, width=160)
    evaluate.show(console, {"clean": figures})
    assert "100%" in console.export_text()


def test_two_things_are_judged_each_in_its_half() -> None:
    """A picture whose halves are exchanged has neither thing at its place."""
    art = Art(None)
    cast = make_cast(art)
    mug_and_laptop = (Thing("mug", "red"), Thing("laptop", "blue"))
    asked = evaluate.questions(cast, NAMES, count=6)
    asked.append(Question("a red mug and a blue laptop on a white background", mug_and_laptop, "white"))
    clean = evaluate.clean_drawings(cast, art, asked)

    def exchanged(prompt: str, seeds: Sequence[int]) -> list[np.ndarray]:
        return [np.roll(picture, picture.shape[1] // 2, axis=1) for picture in clean(prompt, seeds)]

    judge = Recogniser(3, width=8)
    assert evaluate.evaluate(clean, asked, judge, NAMES).two_colour == 1
    assert evaluate.evaluate(exchanged, asked, judge, NAMES).two_colour == 0
