"""`onbrand evaluate` on the mini at tiny size: from a run to a pack, and nothing of the brand's pictures in it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from onbrand.dataset.reader import Dataset
from onbrand.errors import ConfigError, RunChanged, RunUnusable
from onbrand.hidream.load import load_pipeline
from onbrand.images.rendition import encode
from onbrand.packs.base import Base
from onbrand.packs.manifest import BrandPack, load_pack
from onbrand.training.evaluate import evaluate
from onbrand.training.judged import Evaluation
from onbrand.training.record import read_record
from onbrand.training.train import train
from onbrand.training.workplace import resized
from tests.integration.training.tiny_mini import QUICK, tiny_mini_base

Result = tuple[Path, Evaluation, BrandPack]
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def evaluated(base: Base, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run with two checkpoints, and what came of it."""
    run = tmp_path_factory.mktemp("run") / "run"
    train(base, dataset, run, replace(QUICK, steps=4, side=256))
    evaluation, pack = evaluate(base, run, name="Tiny", version="1")
    return run, evaluation, pack


def test_every_checkpoint_is_measured_and_one_is_taken_by_the_rule(evaluated: Result) -> None:
    _, evaluation, _ = evaluated
    assert [one.step for one in evaluation.judged] == [2, 4]
    assert [one.scale for one in evaluation.strengths] == [1.0, 0.85, 0.7]
    assert evaluation.chosen.step == evaluation.by_rule
    assert len(evaluation.chosen.outside) == len(evaluation.chosen.nearest) == 10
    assert all(len(one.held_out) == 5 for one in evaluation.checkpoints)


def test_the_pack_says_where_it_comes_from_and_is_drawn_with(evaluated: Result, base: Base) -> None:
    run, evaluation, pack = evaluated
    training = pack.manifest.training
    assert training is not None
    assert (training.base, training.dataset) == (base.id, read_record(run).dataset)
    assert training.trained_on is not None
    assert training.trained_on.digests == tuple(
        sorted(one.digest for one in read_record(run).pictures if not one.is_held_out)
    )
    assert (training.step, pack.manifest.lora.scale) == (evaluation.chosen.step, evaluation.chosen.scale)
    drawn = [picture.prompt for picture in pack.manifest.pictures]
    assert drawn == [sample.prompt for sample in evaluation.record.samples[:4]]
    samples = json.loads((pack.directory / "eval_prompts.json").read_text("utf-8"))
    assert samples == [{"prompt": one.prompt, "seed": one.seed} for one in read_record(run).samples]
    assert training.metrics.inside.keys() == training.metrics.own_inside.keys()
    pipeline = load_pipeline(base, load_pack(pack.directory))
    assert pipeline.manifest.training == training


def test_the_pack_holds_no_picture_and_no_caption_of_the_brand(evaluated: Result, dataset: Dataset) -> None:
    _, evaluation, pack = evaluated
    drawn = {f"picture-{n}.webp" for n in (1, 2, 3, 4)}
    files = {path.name for path in pack.directory.iterdir()}
    assert files == {"README.md", "eval_prompts.json", "lora.safetensors", "pack.json"} | drawn
    for picture, pixels in zip(pack.manifest.pictures, evaluation.chosen.pictures, strict=False):
        assert pack.path(picture.file).read_bytes() == encode(resized(pixels(), 1024))
    texts = (pack.directory / "pack.json").read_text("utf-8") + (pack.directory / "README.md").read_text("utf-8")
    for one in dataset.illustrations:
        assert one.caption not in texts
        assert one.name not in texts


def test_the_page_is_one_file_with_each_sample_beside_its_nearest_picture(evaluated: Result) -> None:
    run, evaluation, _ = evaluated
    page = (run / "evaluation.html").read_text("utf-8")
    assert page.count('<div class="pair">') == 10
    assert page.count("data:image/webp") == 10 * 2 + 4
    assert page.count("<svg") == 2
    assert "<script" not in page
    assert 'src="http' not in page
    assert all(one.nearest for one in evaluation.judged)


def test_a_second_evaluation_draws_nothing_and_builds_the_same_pack(evaluated: Result, base: Base) -> None:
    run, evaluation, pack = evaluated
    told: list[str] = []
    again, same = evaluate(base, run, name="Tiny", version="1", tell=lambda what, _done, _total: told.append(what))
    assert same.id == pack.id
    assert [one.candidate for one in again.judged] == [one.candidate for one in evaluation.judged]
    assert not [what for what in told if what.startswith("Drawing")]


def test_a_person_may_choose_another_checkpoint_and_the_page_says_so(evaluated: Result, base: Base) -> None:
    run, evaluation, _ = evaluated
    other = next(one.step for one in evaluation.judged if one.step != evaluation.by_rule)
    overruled, pack = evaluate(base, run, name="Tiny", version="2", checkpoint=other)
    assert overruled.is_overruled
    assert pack.manifest.training is not None
    assert pack.manifest.training.step == other
    assert "chosen by a person, against the rule" in (run / "evaluation.html").read_text("utf-8")
    assert json.loads((run / "evaluation.json").read_text("utf-8"))["is_overruled"] is True


def test_a_checkpoint_that_is_not_there_is_refused(evaluated: Result, base: Base) -> None:
    with pytest.raises(ConfigError, match="There is no checkpoint 7: choose one of 2, 4"):
        evaluate(base, evaluated[0], name="Tiny", version="1", checkpoint=7)


def test_a_run_of_another_base_is_refused(evaluated: Result, tmp_path: Path) -> None:
    other = tiny_mini_base(tmp_path / "other", seed=1)
    with pytest.raises(RunChanged, match="set ONBRAND_MODEL and ONBRAND_MODEL_PATH as they were"):
        evaluate(other, evaluated[0], name="Tiny", version="1")


def test_a_run_without_a_checkpoint_and_a_folder_that_is_no_run_are_refused(
    evaluated: Result, base: Base, tmp_path: Path
) -> None:
    with pytest.raises(RunUnusable, match="There is no training run in"):
        evaluate(base, tmp_path, name="Tiny", version="1")
    early = Path(shutil.copytree(evaluated[0], tmp_path / "early", ignore=shutil.ignore_patterns("checkpoint.json")))
    with pytest.raises(RunUnusable, match="has no checkpoint yet"):
        evaluate(base, early, name="Tiny", version="1")
