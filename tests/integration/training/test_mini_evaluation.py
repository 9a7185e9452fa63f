"""The evaluation's figures of clean drawings: what a perfect miniature would reach."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

pytest.importorskip("resvg_py", reason="the recipe's own dependency: extra `mini`")

from models.mini.recipe import evaluate
from models.mini.recipe.art import Art
from models.mini.recipe.data import make_cast
from models.mini.recipe.judge import Recogniser

NAMES = ["mug", "gift box", "laptop"]


def test_clean_drawings_have_the_asked_colours_and_grounds(tmp_path: Path) -> None:
    art = Art(None)
    cast = make_cast(art)
    asked = evaluate.questions(cast, NAMES, count=6)
    assert asked == evaluate.questions(cast, NAMES, count=6)
    figures = evaluate.evaluate(evaluate.clean_drawings(cast, art, asked), asked, Recogniser(3, width=8), NAMES)
    assert figures.pictures == 6 * len(evaluate.SEEDS)
    assert figures.right_colour == 1
    assert figures.right_ground == 1
    assert figures.acutance > 0.1
    evaluate.write(tmp_path / "evaluation.json", {"clean": figures}, asked)
    kept = json.loads((tmp_path / "evaluation.json").read_text("utf-8"))
    assert kept["figures"]["clean"]["right_ground"] == 1
    console = Console(record=True, width=120)
    evaluate.show(console, {"clean": figures})
    assert "100%" in console.export_text()
