"""What a pack was trained on is no original of its review: renamed, saved again, resized; with its run and without."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from onbrand.dataset.reader import Dataset, read_dataset
from onbrand.errors import OriginalsRefused, RunUnusable
from onbrand.hidream.load import probe_lora
from onbrand.hidream.packaging.build import build_pack
from onbrand.packs.base import Base
from onbrand.packs.manifest import BrandPack, Metrics, Training, document_of, parse_manifest
from onbrand.training.asides import TrainingPictures
from onbrand.training.kept import LORA
from onbrand.training.originals import ONLY_EXACT, UNKNOWN, Originals, require_new
from onbrand.training.record import RECORD, read_record
from onbrand.training.train import train
from tests.integration.training.tiny_mini import QUICK
from tests.studio import draw

Made = tuple[Path, BrandPack]


@pytest.fixture(scope="module")
def made(base: Base, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run, and the pack of its checkpoint."""
    run = tmp_path_factory.mktemp("originals") / "run"
    train(base, dataset, run, replace(QUICK, steps=2))
    record = read_record(run)
    digest = hashlib.sha256((run / RECORD).read_bytes()).hexdigest()
    metrics = Metrics(1.0, {}, {}, 0, 1.0)
    pack = build_pack(
        base,
        run / "checkpoints" / "000002" / LORA,
        run / "packs" / "pack",
        name="Tiny",
        version="1",
        prompt_suffix=", onbrand style",
        probe=probe_lora,
        training=Training("mini", base.id, record.dataset, 5, digest, 2, metrics, record.trained_on),
    )
    return run, pack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two illustrations that no run has seen."""
    for number in (21, 22):
        put(tmp_path / "mine" / f"new {number}.png", draw(number)[0])
    return tmp_path / "mine"


def put(path: Path, image: Image.Image, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    path.with_suffix(".txt").write_text(f"a thing called {path.stem}\n")


def trained_picture(run: Path) -> Path:
    """One of the run's illustrations that it trained on."""
    return next(run / one.file for one in read_record(run).pictures if not one.is_held_out)


def checked(folder: Path, pack: BrandPack, run: Path | None = None) -> Originals:
    pictures = None if run is None else TrainingPictures.read(run, pack)
    return require_new(pack, folder, read_dataset(folder).illustrations, pictures)


def saved(path: Path, picture: Path) -> None:
    put(path.with_suffix(".jpg"), Image.open(picture), quality=90)


def resized(path: Path, picture: Path) -> None:
    put(path.with_suffix(".png"), Image.open(picture).resize((1300, 1300), Image.Resampling.BICUBIC))


def mirrored(path: Path, picture: Path) -> None:
    put(path.with_suffix(".png"), ImageOps.mirror(Image.open(picture)))


COPIES = pytest.mark.parametrize("copy", [saved, resized, mirrored])
Copy = Callable[[Path, Path], None]


def test_new_illustrations_and_held_out_ones_are_originals(made: Made, folder: Path) -> None:
    run, pack = made
    for place in (folder, run / "held-out"):
        found = checked(place, pack, run)
        assert found.note is None
        assert [one.digest for one in found.illustrations] == [one.digest for one in read_dataset(place).illustrations]


@pytest.mark.parametrize("is_run_there", [True, False])
def test_a_training_illustration_is_refused_under_any_name(made: Made, folder: Path, is_run_there: bool) -> None:
    run, pack = made
    put(folder / "harmless.png", Image.open(trained_picture(run)), compress_level=1)
    with pytest.raises(OriginalsRefused) as refused:
        checked(folder, pack, run if is_run_there else None)
    such = f", such as {run / 'held-out'}" if is_run_there else ""
    assert str(refused.value.message) == (
        "The pack was trained on harmless.png, so a review can't show it as an original: take it out of"
        f" {folder}, or name a folder with three illustrations that the pack has never seen{such}."
    )


@COPIES
def test_a_near_copy_is_refused_by_the_name_of_what_it_copies(made: Made, folder: Path, copy: Copy) -> None:
    run, pack = made
    copy(folder / "copy", trained_picture(run))
    with pytest.raises(OriginalsRefused, match=r"trained on copy\.(png|jpg) \(nearly the same as .*\.png\), so"):
        checked(folder, pack, run)


def test_without_its_run_a_pack_is_only_known_by_digests_and_that_is_said(made: Made, folder: Path) -> None:
    run, pack = made
    saved(folder / "copy", trained_picture(run))
    found = checked(folder, pack)
    assert (len(found.illustrations), found.note) == (3, ONLY_EXACT)


def test_a_pack_without_digests_is_compared_with_its_run_or_not_at_all(made: Made, folder: Path) -> None:
    run, pack = made
    assert pack.manifest.training is not None
    for training in (None, replace(pack.manifest.training, trained_on=None)):
        old = replace(pack, manifest=replace(pack.manifest, training=training))
        assert parse_manifest(document_of(old.manifest)) == old.manifest
        put(folder / "copy.png", Image.open(trained_picture(run)))
        assert checked(folder, old).note == UNKNOWN
        with pytest.raises(OriginalsRefused, match=r"trained on copy\.png, so"):
            checked(folder, old, run)


def test_another_run_s_held_out_illustrations_may_be_this_pack_s_training(made: Made, tmp_path: Path) -> None:
    run, pack = made
    other = Path(shutil.copytree(run, tmp_path / "other"))
    (other / RECORD).write_bytes((other / RECORD).read_bytes() + b"\n")
    put(other / "held-out" / "900.png", Image.open(trained_picture(run)))
    with pytest.raises(OriginalsRefused, match=r"trained on 900\.png, so"):
        checked(other / "held-out", pack)
    with pytest.raises(RunUnusable, match="doesn't come from the run in"):
        checked(other / "held-out", pack, other)


def test_a_transparent_illustration_is_known_on_whatever_ground_its_folder_has(
    made: Made, dataset: Dataset, tmp_path: Path
) -> None:
    _, pack = made
    clear = draw(30)[0].convert("RGBA")
    clear.putalpha(Image.radial_gradient("L").resize(clear.size).point(lambda value: 255 if value < 128 else 0))
    for place, others in (("learnt", (31, 32)), ("mine", ())):
        put(tmp_path / place / "clear.png", clear)
        for number in others:
            put(tmp_path / place / f"{number}.png", draw(number)[0])
    learnt, mine = read_dataset(tmp_path / "learnt"), read_dataset(tmp_path / "mine")
    digest = {one.name: one.digest for one in learnt.illustrations}["clear.png"]
    assert mine.illustrations[0].digest != digest  # there is no ground here, so it is on white
    assert pack.manifest.training is not None
    assert pack.manifest.training.trained_on is not None
    trained_on = replace(pack.manifest.training.trained_on, digests=(digest,))
    training = replace(pack.manifest.training, trained_on=trained_on)
    assert trained_on.ground == dataset.ground == learnt.ground
    with pytest.raises(OriginalsRefused, match=r"trained on clear\.png, so"):
        checked(tmp_path / "mine", replace(pack, manifest=replace(pack.manifest, training=training)))
