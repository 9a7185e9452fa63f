"""What a drawing is compared with after a review's verdict: pictures of the pack's own run, and of no other."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from onbrand.errors import RunUnusable
from onbrand.images.png import decode
from onbrand.images.rendition import encode
from onbrand.packs.manifest import MANIFEST, BrandPack, Metrics, Training, load_pack
from onbrand.reviews.models import AsideKind
from onbrand.training.asides import TrainingPictures, base_aside
from onbrand.training.begin import read_picture
from onbrand.training.record import RECORD, Record
from tests.packs import MINI, make_pack
from tests.studio import draw
from tests.training_runs import PICTURES, begin_run


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> BrandPack:
    return make_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def run(pack: BrandPack, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """A run whose checkpoint the pack was built of."""
    folder = tmp_path_factory.mktemp("studio") / "run"
    return folder, begin_run(folder, pack)


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_a_copy_is_shown_beside_the_picture_that_it_copies_and_flagged(
    run: tuple[Path, Record], pack: BrandPack, is_mirrored: bool
) -> None:
    folder, record = run
    trained = [one for one in record.pictures if not one.is_held_out]
    original = read_picture(folder, trained[3])
    copy = np.roll(original[:, ::-1] if is_mirrored else original, 40, axis=1)
    first, second = TrainingPictures.read(folder, pack).asides(np.ascontiguousarray(copy))
    assert (first.kind, first.source) == (AsideKind.TRAINING, trained[3].name)
    assert (first.is_flagged, first.is_mirrored) == (True, is_mirrored)
    assert np.array_equal(decode(first.png), original)
    assert first.tile == encode(original)
    assert not second.is_flagged
    assert second.source in {one.name for one in trained} - {first.source}


def test_a_picture_that_was_held_out_is_not_among_them(run: tuple[Path, Record], pack: BrandPack) -> None:
    folder, record = run
    (held_out,) = (one for one in record.pictures if one.is_held_out)
    asides = TrainingPictures.read(folder, pack).asides(read_picture(folder, held_out))
    assert len(asides) == 2
    assert held_out.name not in {one.source for one in asides}


def test_the_bare_bases_drawing_is_kept_as_it_is() -> None:
    pixels = np.asarray(draw(3)[0])
    aside = base_aside(pixels)
    assert (aside.kind, aside.source, aside.is_flagged) == (AsideKind.BASE, None, False)
    assert np.array_equal(decode(aside.png), pixels)
    assert aside.tile == encode(pixels)


def test_the_run_of_another_pack_is_refused(run: tuple[Path, Record], tmp_path: Path) -> None:
    other = make_pack(tmp_path / "other", name="Harbour", version="3")
    with pytest.raises(RunUnusable, match=f"^Harbour, version 3, doesn't come from .* on {PICTURES} pictures: name"):
        TrainingPictures.read(run[0], other)


def test_a_pack_that_names_its_run_needs_no_checkpoint_of_it(run: tuple[Path, Record], tmp_path: Path) -> None:
    folder, record = run
    digest = sha256((folder / RECORD).read_bytes()).hexdigest()
    training = Training("mini", MINI.id, record.dataset, PICTURES, digest, 80, Metrics(0.1, {}, {}, 0, 1.0))
    for number, (said, is_its_run) in enumerate([(training, True), (replace(training, run="0" * 64), False)]):
        pack = make_pack(tmp_path / str(number))
        manifest = json.loads((pack.directory / MANIFEST).read_bytes()) | {"training": asdict(said)}
        (pack.directory / MANIFEST).write_text(json.dumps(manifest))
        if is_its_run:
            assert TrainingPictures.read(folder, load_pack(pack.directory)).prints
        else:
            with pytest.raises(RunUnusable, match="doesn't come from the run"):
                TrainingPictures.read(folder, load_pack(pack.directory))


def test_a_damaged_picture_of_the_run_is_named(pack: BrandPack, tmp_path: Path) -> None:
    record = begin_run(tmp_path / "run", pack)
    file = tmp_path / "run" / record.pictures[0].file
    file.write_bytes(file.read_bytes()[:-400])
    with pytest.raises(RunUnusable, match=f"The file {record.pictures[0].file} in .* is missing or damaged"):
        TrainingPictures.read(tmp_path / "run", pack)


def test_a_folder_that_is_no_run_is_refused(pack: BrandPack, tmp_path: Path) -> None:
    with pytest.raises(RunUnusable, match="There is no training run in"):
        TrainingPictures.read(tmp_path, pack)
