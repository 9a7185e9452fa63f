"""`onbrand train` on the mini at tiny size: what a run leaves, when it goes on, and what it refuses in one sentence."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from onbrand.config import PrecisionChoice
from onbrand.dataset.reader import Dataset, read_dataset
from onbrand.errors import (
    ConfigError,
    DataDirUnwritable,
    NotEnoughMemory,
    RunChanged,
    RunUnusable,
    TrainingRefused,
)
from onbrand.hidream.benchmark.configurations import HIDREAM_I1
from onbrand.hidream.load import probe_lora
from onbrand.hidream.memory import GIB, Sizes
from onbrand.hidream.models import MODELS, Precision
from onbrand.hidream.packaging.build import build_pack
from onbrand.packs.base import Base
from onbrand.storage.files import LocalFolder
from onbrand.training.checkpoints import load_newest
from onbrand.training.kept import LORA, read_checkpoints
from onbrand.training.loop import Pace
from onbrand.training.plan import Shape, TrainingPlan, plan_training
from onbrand.training.record import CACHE, STATE, locked, read_record
from onbrand.training.train import train
from tests.integration.training.tiny_mini import QUICK, small_set, tiny_mini_base
from tests.studio import write_studio
from tests.tiny import tiny_base

SHORT = replace(QUICK, steps=2)


@pytest.fixture(scope="module")
def run(base: Base, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run."""
    folder = tmp_path_factory.mktemp("run") / "run"
    assert train(base, dataset, folder, QUICK) == (6, 6)
    return folder


@pytest.fixture
def begun(run: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(run, tmp_path / "begun"))


def fingerprints(folder: Path) -> dict[str, str]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_run_keeps_every_checkpoint_and_all_that_repeats_it(run: Path, dataset: Dataset, base: Base) -> None:
    record = read_record(run)
    assert [one.step for one in read_checkpoints(run)] == [2, 4, 6]
    assert all((run / "checkpoints" / f"{step:06d}" / LORA).is_file() for step in (2, 4, 6))
    assert (record.base, record.dataset) == (base.id, dataset.digest)
    assert [one.digest for one in record.pictures] == [one.digest for one in dataset.illustrations]
    assert {"torch", "diffusers", "python"} <= record.versions.keys()
    assert len(record.samples) == 10
    assert len({one.seed for one in record.samples}) == 10


def test_held_out_illustrations_are_never_trained_on(run: Path) -> None:
    record = read_record(run)
    trained_on, held_out = record.captions(is_held_out=False), record.captions(is_held_out=True)
    assert len(held_out) == 1
    assert not trained_on.keys() & held_out.keys()
    assert len(trained_on) + len(held_out) == len(record.pictures)


def test_the_held_out_illustrations_are_a_folder_of_their_own(run: Path) -> None:
    held_out = [one for one in read_record(run).pictures if one.is_held_out]
    found = read_dataset(run / "held-out").illustrations
    assert [(one.caption, one.digest) for one in found] == [(one.caption, one.digest) for one in held_out]


def test_of_two_that_are_nearly_the_same_none_is_held_out(base: Base, tmp_path: Path) -> None:
    folder = write_studio(tmp_path / "data", 3)
    for path in sorted(folder.glob("*.png"))[1:]:
        ImageOps.mirror(Image.open(path)).save(path.with_stem(f"{path.stem}-twin"))
        path.with_name(f"{path.stem}-twin.txt").write_text(f"a twin of {path.stem}")
    train(base, read_dataset(folder), tmp_path / "run", replace(SHORT, seed=2))
    assert [one.name for one in read_record(tmp_path / "run").pictures if one.is_held_out] == ["01-mug.png"]


def test_the_report_is_one_page_that_loads_nothing(run: Path) -> None:
    page = (run / "report.html").read_text("utf-8")
    assert "Step 6 of 6." in page
    assert page.count("<svg") == 1
    assert page.count("data:image/webp") == 3
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page


def test_the_illustrations_are_only_read(base: Base, tmp_path: Path) -> None:
    dataset = small_set(tmp_path / "data")
    before = fingerprints(tmp_path / "data")
    train(base, dataset, tmp_path / "run", SHORT)
    assert fingerprints(tmp_path / "data") == before


def test_each_checkpoint_is_a_lora_that_a_pack_is_built_of(run: Path, base: Base, tmp_path: Path) -> None:
    pack = build_pack(
        base,
        run / "checkpoints" / "000004" / LORA,
        tmp_path / "pack",
        name="Tiny",
        version="1",
        prompt_suffix=", onbrand style",
        probe=probe_lora,
    )
    assert (pack.manifest.lora.rank, pack.manifest.lora.alpha) == (16, 16.0)


def stop_after_a_step(base: Base, dataset: Dataset, folder: Path) -> None:
    """A run that gets SIGTERM in its first step."""

    def stop(_line: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    assert train(base, dataset, folder, QUICK, on_line=stop, pace=Pace(line=0)) == (1, 6)


def last_lora(run: Path) -> bytes:
    """What the run ends with."""
    return (run / "checkpoints" / "000006" / LORA).read_bytes()


def test_a_run_that_was_asked_to_stop_goes_on(base: Base, dataset: Dataset, run: Path, tmp_path: Path) -> None:
    stop_after_a_step(base, dataset, tmp_path / "run")
    assert train(base, dataset, tmp_path / "run", QUICK, is_resumed=True) == (6, 6)
    assert last_lora(tmp_path / "run") == last_lora(run)


@pytest.mark.parametrize("harm", ["missing", "damaged", "of another run"])
def test_what_was_cached_is_what_is_encoded(
    harm: str, base: Base, dataset: Dataset, begun: Path, tmp_path: Path
) -> None:
    cache = begun / CACHE
    whole = cache.read_bytes()
    if harm == "missing":
        cache.unlink()
    elif harm == "damaged":
        cache.write_bytes(whole[: len(whole) // 2])
    else:
        other = small_set(tmp_path / "other", 4)
        train(base, other, tmp_path / "run", replace(SHORT, prompt_suffix=", another style"))
        shutil.copyfile(tmp_path / "run" / CACHE, cache)
    assert train(base, dataset, begun, QUICK, is_resumed=True) == (6, 6)
    assert cache.read_bytes() == whole


def test_a_changed_caption_is_named(base: Base, begun: Path, tmp_path: Path) -> None:
    changed = small_set(tmp_path / "data")
    path = changed.illustrations[0].path
    path.with_suffix(".txt").write_text("something else entirely", "utf-8")
    with pytest.raises(RunChanged, match=f"{path.name} has another caption. Bring it back"):
        train(base, read_dataset(tmp_path / "data"), begun, QUICK, is_resumed=True)


def test_another_picture_a_new_one_and_a_missing_one_are_named(base: Base, begun: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    first, second, third = (one.path for one in small_set(data).illustrations[:3])
    picture = Image.open(first).transpose(Image.Transpose.ROTATE_90)
    picture.save(first)
    second.rename(data / "new.png")
    second.with_suffix(".txt").rename(data / "new.txt")
    third.unlink()
    third.with_suffix(".txt").unlink()
    with pytest.raises(RunChanged) as refused:
        train(base, read_dataset(data), begun, QUICK, is_resumed=True)
    for part in (
        "new.png is new",
        f"{second.name} is gone",
        f"{third.name} is gone",
        f"{first.name} is another picture",
    ):
        assert part in refused.value.message


def test_other_settings_are_named(base: Base, dataset: Dataset, begun: Path) -> None:
    with pytest.raises(RunChanged, match=r"--learning-rate was 0\.05 and is now 0\.5; --rank was 16 and is now 8"):
        train(base, dataset, begun, replace(QUICK, learning_rate=0.5, rank=8), is_resumed=True)


def test_another_precision_is_refused(base: Base, dataset: Dataset, begun: Path) -> None:
    with pytest.raises(RunChanged, match="it began in float32 and ONBRAND_PRECISION is int8: unset it"):
        train(base, dataset, begun, QUICK, is_resumed=True, precision=PrecisionChoice.INT8)


def test_another_version_of_a_library_is_said(base: Base, dataset: Dataset, begun: Path) -> None:
    document = json.loads((begun / "run.json").read_text("utf-8"))
    document["versions"]["torch"] = "1.0"
    (begun / "run.json").write_text(json.dumps(document), "utf-8")
    told: list[str] = []
    train(base, dataset, begun, QUICK, is_resumed=True, tell=lambda what, _done, _of: told.append(what))
    assert [what for what in told if what.startswith("torch was 1.0 and is now 2.")]


def test_another_base_is_named(dataset: Dataset, begun: Path, tmp_path: Path) -> None:
    other = tiny_mini_base(tmp_path / "other", seed=1)
    with pytest.raises(RunChanged, match=f"the base is now mini with the id {other.id[:12]}"):
        train(other, dataset, begun, QUICK, is_resumed=True)


def test_a_run_that_is_there_is_not_begun_again(base: Base, dataset: Dataset, begun: Path) -> None:
    before = fingerprints(begun)
    with pytest.raises(TrainingRefused, match="add --resume to go on"):
        train(base, dataset, begun, QUICK)
    assert fingerprints(begun) == before


def test_a_folder_with_something_else_is_left_alone(base: Base, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear customer", "utf-8")
    with pytest.raises(TrainingRefused, match="is no training run: name a new folder"):
        train(base, dataset, tmp_path, QUICK, is_resumed=True)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_run_within_the_illustrations_folder_is_refused(base: Base, dataset: Dataset) -> None:
    data = dataset.illustrations[0].path.parent
    for folder in (data, data / "run"):
        with pytest.raises(TrainingRefused, match="name a folder outside of it"):
            train(base, dataset, folder, QUICK)
    assert not (data / "run").exists()


def test_two_processes_don_t_work_in_one_run(base: Base, dataset: Dataset, begun: Path) -> None:
    with locked(begun), pytest.raises(TrainingRefused, match="Another process is working"):
        train(base, dataset, begun, QUICK, is_resumed=True)


def test_a_damaged_record_is_refused(base: Base, dataset: Dataset, begun: Path) -> None:
    document = json.loads((begun / "run.json").read_text("utf-8"))
    document["settings"]["steps"] = "many"
    (begun / "run.json").write_text(json.dumps(document), "utf-8")
    with pytest.raises(RunUnusable, match=r"run.json .* is wrong at settings.steps"):
        train(base, dataset, begun, QUICK, is_resumed=True)


def test_a_damaged_copy_of_an_illustration_is_refused(base: Base, dataset: Dataset, begun: Path) -> None:
    (begun / CACHE).unlink()
    picture = begun / read_record(begun).pictures[0].file
    Image.open(picture).transpose(Image.Transpose.ROTATE_180).save(picture)
    with pytest.raises(RunUnusable, match=r"pictures/001.png .* is missing or damaged"):
        train(base, dataset, begun, QUICK, is_resumed=True)


@pytest.mark.parametrize("choices", [replace(QUICK, learning_rate=2.0), replace(QUICK, prompt_suffix="")])
def test_settings_out_of_range_are_refused(choices: object, base: Base, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="A training can't have this --"):
        train(base, dataset, tmp_path / "run", choices)  # type: ignore[arg-type]
    assert not (tmp_path / "run" / "run.json").exists()


def test_three_illustrations_are_too_few(base: Base, tmp_path: Path) -> None:
    with pytest.raises(TrainingRefused, match="There are 3 illustrations, and training needs 4"):
        train(base, small_set(tmp_path / "data", 3), tmp_path / "run", QUICK)


def test_a_distilled_model_is_not_trained_on(dataset: Dataset, tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base", "hidream-i1-dev")
    with pytest.raises(TrainingRefused, match="HiDream-I1 Dev is distilled, and training undoes that"):
        train(base, dataset, tmp_path / "run", QUICK)


@contextmanager
def disk_that_is_full_after(size: int) -> Iterator[None]:
    """No file may become larger."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(
    base: Base, dataset: Dataset, run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    stop_after_a_step(base, dataset, folder)
    before = load_newest(folder / STATE)
    assert before is not None
    size = next((folder / STATE).glob("step-*")).stat().st_size - 100
    with disk_that_is_full_after(size), pytest.raises(DataDirUnwritable, match=r"can't be written .* with --resume"):
        train(base, dataset, folder, QUICK, is_resumed=True)
    assert not list(folder.rglob("*.partial"))
    left = load_newest(folder / STATE)
    assert left is not None
    assert left["step"] == before["step"] == 1
    assert train(base, dataset, folder, QUICK, is_resumed=True) == (6, 6)
    assert last_lora(folder) == last_lora(run)


@pytest.mark.parametrize(
    ("card", "free", "precision"), [("80 GB", 79, Precision.BFLOAT16), ("24 GB", 23.3, Precision.INT8)]
)
def test_hidream_is_planned_for_the_card(card: str, free: float, precision: Precision) -> None:
    plan = planned(free)
    assert plan.precision is precision, card
    assert plan.are_encoders_resident is (precision is Precision.BFLOAT16)
    assert plan.needed < free * GIB


def test_what_won_t_fit_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(
        NotEnoughMemory, match=r"Training needs 2\d\.\d GiB of the GPU's memory and 15\.0 are free"
    ) as no:
        planned(15)
    assert "\n" not in no.value.message


def planned(free: float) -> TrainingPlan:
    """HiDream-I1-Full's plan for so many free GiB of a GPU."""
    model = MODELS["hidream-i1-full"]
    assert model.training is not None
    encoders = [2 * part.parameters for name, part in model.components.items() if name.startswith("text_encoder")]
    sizes = Sizes(
        sum(encoders),
        max(encoders),
        2 * model.components["transformer"].parameters,
        2 * model.components["vae"].parameters,
    )
    precisions = (Precision.BFLOAT16, Precision.INT8)
    shape = Shape(1024, 8, 384, 1, 16)
    return plan_training(
        HIDREAM_I1["transformer"], sizes, model.training, shape, precisions, int(free * GIB), is_gpu=True
    )


def test_a_cpu_is_not_asked_for_months(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from onbrand.training import workplace

    base = tiny_base(tmp_path / "base", "hidream-i1-full")
    assert isinstance(base.folder, LocalFolder)
    monkeypatch.setattr(workplace, "_MOST_ON_A_CPU", 1000)
    with pytest.raises(NotEnoughMemory, match="would take months on a CPU"):
        train(base, dataset, tmp_path / "run", QUICK)
