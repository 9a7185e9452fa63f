"""`onbrand review …` as an operator uses it, with the real mini model."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image, ImageDraw

from onbrand.cli.long_work import Telling
from onbrand.cli.review.open import find_training_pictures
from onbrand.config import LOCAL_TENANT_ID
from onbrand.database.pool import Database
from onbrand.dataset.reader import read_dataset
from onbrand.images.png import decode
from onbrand.jobs.models import Owner
from onbrand.packs.manifest import MANIFEST, Metrics, TrainedOn, Training, document_of, load_pack
from onbrand.reviews import records
from onbrand.reviews.models import AsideKind, Kind, Outcome
from onbrand.reviews.pictures import CardStore
from onbrand.storage.object_store import open_storage
from tests.packs import SAMPLE, make_pack
from tests.reviews import AS_IS, COPY, answers, open_review
from tests.system import onbrand
from tests.training_runs import begin_run

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def run(database_url: str, tmp_path: Path) -> Run:
    """`onbrand review` with a database and a data directory of its own."""

    def run(*arguments: str, **settings: str) -> CompletedProcess[str]:
        settings = {"DATABASE_URL": database_url, "DATA_DIR": str(tmp_path / "data")} | settings
        return onbrand("review", *arguments, **settings)

    return run


@pytest.fixture
def originals(tmp_path: Path) -> Path:
    """Four illustrations with captions, of which a review takes three."""
    folder = tmp_path / "originals"
    folder.mkdir()
    for n, colour in enumerate(("#d0503c", "#3c6ad0", "#3ca05a", "#c8a020"), start=1):
        picture = Image.new("RGB", (1200, 1200), "#f6efe2")
        ImageDraw.Draw(picture).ellipse((200 + 50 * n, 250, 900, 950), fill=colour, outline="#222244", width=24)
        picture.save(folder / f"shape {n}.png")
        (folder / f"shape {n}.txt").write_text(f"a round stone, number {n}")
    return folder


def ground_of(png: bytes) -> np.ndarray:
    """The mean colour of a picture's four corners."""
    pixels = decode(png).astype(float)
    corners = [pixels[:64, :64], pixels[:64, -64:], pixels[-64:, :64], pixels[-64:, -64:]]
    mean: np.ndarray = np.concatenate(corners).reshape(-1, 3).mean(axis=0)
    return mean


def shape_of(png: bytes) -> np.ndarray:
    """How far each of 64 × 64 places is from the picture's ground."""
    pixels = decode(png).astype(float).reshape(64, 16, 64, 16, 3).mean(axis=(1, 3))
    away: np.ndarray = np.abs(pixels - ground_of(png)).sum(axis=2).ravel()
    return away


async def test_sixteen_cards_are_drawn_dealt_answered_and_shown(
    run: Run, database: Database, originals: Path, tmp_path: Path
) -> None:
    begin_run(tmp_path / "trained", SAMPLE)
    originals = originals.rename(tmp_path / "trained" / "originals")  # in the run, as `evaluate` says
    opened = await asyncio.to_thread(run, "open", SAMPLE.id[:12], "--originals", str(originals), "--json", PORT="8123")
    assert opened.returncode == 0, opened.stderr
    assert "No training pictures" not in opened.stderr
    told = json.loads(opened.stdout)
    assert told["pack"] == SAMPLE.id
    assert told["link"] == f"http://localhost:8123/?review={told['review']}"
    folder = tmp_path / "data" / "images" / "reviews" / told["review"]
    files = sorted(folder.glob("*.png"), key=lambda path: int(path.stem))
    assert [path.name for path in files] == [f"{n}.png" for n in range(1, 17)]
    pngs = [path.read_bytes() for path in files]
    assert len({len(png) for png in pngs}) == 1
    assert len({decode(png).tobytes() for png in pngs}) == 16
    assert len({png[:43] for png in pngs}) == 1
    stored = [path.stat().st_mtime_ns for path in files]
    assert stored == sorted(stored)  # in the order of the cards, so that no time tells what was drawn when

    async with database.transaction() as connection:
        (review,) = await records.of_pack(connection, SAMPLE.id)
        kinds = [card.kind for card in review.cards]
        assert sorted(kinds) == [Kind.BASE] * 3 + [Kind.ORIGINAL] * 3 + [Kind.PACK] * 10
        assert kinds != sorted(kinds)
        by_kind = {kind: [card.n for card in review.cards if card.kind is kind] for kind in Kind}
        for card in review.cards:
            kinds_beside = [one.kind for one in card.asides]
            expected = [AsideKind.BASE, AsideKind.TRAINING, AsideKind.TRAINING] if card.kind is Kind.PACK else []
            assert kinds_beside == expected
        assert "round stone" in review.cards[by_kind[Kind.ORIGINAL][0] - 1].prompt
        cursor = await connection.execute("select count(*) as packs from brand_pack")
        assert await cursor.fetchall() == [{"packs": 1}]
    grounds = {kind: [ground_of(pngs[n - 1]) for n in numbers] for kind, numbers in by_kind.items()}
    brand = np.median(grounds[Kind.PACK], axis=0)
    # Beside each drawing is what the bare base makes of the same prompt and seed: of all, it is the most like it.
    bare = [(folder / "asides" / f"{n}-1.png").read_bytes() for n in by_kind[Kind.PACK]]
    away = [float(np.abs(ground_of(one) - brand).sum()) for one in bare]
    likeness = np.corrcoef([shape_of(png) for png in (*(pngs[n - 1] for n in by_kind[Kind.PACK]), *bare)])[:10, 10:]
    assert (likeness.argmax(axis=1) == np.arange(10)).sum() >= 8, likeness
    distances = {kind: [float(np.abs(one - brand).sum()) for one in found] for kind, found in grounds.items()}
    for found in (distances[Kind.BASE], away):
        assert float(np.median(found)) > 1.5 * float(np.median(distances[Kind.PACK])), distances

    waiting = await asyncio.to_thread(run, "show", SAMPLE.id[:12], PORT="8123")
    assert f"Nobody has answered it yet: {told['link']}" in waiting.stdout
    async with database.transaction() as connection:
        given = answers(review.cards, pack=[COPY, COPY, *[AS_IS] * 8])
        await records.give_verdict(connection, review, Owner(LOCAL_TENANT_ID, review.id), "Ada", given)
    shown = (await asyncio.to_thread(run, "show", SAMPLE.id[:12])).stdout
    assert "Rejected by Ada, 20" in shown
    assert "between 49 and 94 in 100" in shown
    assert "2× copy: The training went on too long" in shown
    document = json.loads((await asyncio.to_thread(run, "show", SAMPLE.id, "--json")).stdout)
    (verdict,) = document["reviews"][0]["verdicts"]
    assert (verdict["outcome"], verdict["usable"], verdict["user_id"]) == ("rejected", 8, str(review.id))
    assert [card["kind"] for card in verdict["cards"]] == kinds


@pytest.mark.parametrize("harm", ["no run", "another pack's", "damaged"])
def test_a_run_that_is_named_and_is_not_the_packs_is_refused_before_anything_is_drawn(
    run: Run, originals: Path, tmp_path: Path, harm: str
) -> None:
    trained = tmp_path / "trained"
    says = {
        "no run": f"There is no training run in {trained}",
        "another pack's": "doesn't come from the run in",
        "damaged": "is missing or damaged",
    }
    if harm != "no run":
        record = begin_run(trained, SAMPLE if harm == "damaged" else None)
        if harm == "damaged":
            (trained / record.pictures[0].file).unlink()
    refused = run("open", SAMPLE.id[:12], "--originals", str(originals), "--run", str(trained))
    assert (refused.returncode, "Drawing" in refused.stderr) == (78, False)
    assert says[harm] in refused.stderr.splitlines()[-1]
    assert not (tmp_path / "data" / "images" / "reviews").exists()


@pytest.mark.parametrize("around", ["nothing", "another pack's run", "a damaged run"])
def test_a_run_that_is_not_at_hand_is_one_line_and_no_error(
    originals: Path, tmp_path: Path, around: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    if around != "nothing":
        record = begin_run(folder, SAMPLE if around == "a damaged run" else None)
        (folder / record.pictures[0].file).unlink()
        originals = originals.rename(folder / "originals")
    with Telling() as tell:
        assert find_training_pictures(SAMPLE, originals, None, tell) is None
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("No training pictures will"))
    assert {"nothing": "--run", "a damaged run": "bring it back"}.get(around, "doesn't come from the run") in line


def test_without_three_originals_nothing_is_drawn(run: Run, originals: Path, tmp_path: Path) -> None:
    for n in (1, 2):
        for ending in ("png", "txt"):
            (originals / f"shape {n}.{ending}").unlink()
    refused = run("open", SAMPLE.id, "--originals", str(originals))
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("onbrand: The folder of originals has 2 pictures, and a review")
    (originals / "shape 3.txt").unlink()
    refused = run("open", SAMPLE.id, "--originals", str(originals))
    assert refused.returncode == 1
    assert "shape 3" in refused.stderr
    assert not (tmp_path / "data" / "images" / "reviews").exists()


def test_what_the_pack_was_trained_on_is_refused_by_name_before_anything_is_drawn(
    run: Run, database_url: str, originals: Path, tmp_path: Path
) -> None:
    made = make_pack(tmp_path / "pack")
    seen = {one.name: one.digest for one in read_dataset(originals).illustrations}["shape 3.png"]
    training = Training("mini", "0" * 64, "0" * 64, 1, "0" * 64, 1, Metrics(1.0, {}, {}, 0, 1.0))
    training = replace(training, trained_on=TrainedOn("#f6efe2", (seen,)))
    (tmp_path / "pack" / MANIFEST).write_bytes(document_of(replace(made.manifest, training=training)))
    pack = load_pack(tmp_path / "pack")
    settings = {"DATABASE_URL": database_url, "DATA_DIR": str(tmp_path / "data")}
    assert onbrand("pack", "add", str(pack.directory), **settings).returncode == 0
    refused = run("open", pack.id, "--originals", str(originals))
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("onbrand: The pack was trained on shape 3.png, so a review")
    refused = run("open", pack.id, "--originals", str(originals), "--run", str(tmp_path / "gone"))
    assert refused.returncode == 78
    assert refused.stderr.splitlines()[-1].startswith(f"onbrand: There is no training run in {tmp_path / 'gone'}")
    assert not (tmp_path / "data" / "images" / "reviews").exists()


def test_a_pack_that_nobody_has_reviewed_says_how_to_begin(run: Run) -> None:
    assert "onbrand review open" in run("show", SAMPLE.id[:12]).stdout
    assert json.loads(run("show", SAMPLE.id, "--json").stdout) == {"pack": SAMPLE.id, "reviews": []}
    assert run("show", "abcdef").returncode == 78


@pytest.mark.parametrize("harm", ["altered", "removed"])
async def test_a_pack_that_is_harmed_under_its_review_is_judged_and_not_promoted(
    run: Run, database: Database, database_url: str, tmp_path: Path, harm: str
) -> None:
    """The verdict is about the id. A promotion reads every byte of the pack again."""
    pack, settings = make_pack(tmp_path / "pack"), {"DATABASE_URL": database_url, "DATA_DIR": str(tmp_path / "data")}
    assert onbrand("pack", "add", str(pack.directory), **settings).returncode == 0
    store = CardStore(open_storage(tmp_path / "data" / "images"))
    review_id = await open_review(store, database, pack)
    stored = tmp_path / "data" / "images" / "packs" / pack.id
    if harm == "removed":
        shutil.rmtree(stored)
    else:
        lora = stored / "lora.safetensors"
        lora.write_bytes(b"\0" + lora.read_bytes()[1:])
    async with database.transaction() as connection:
        review = await records.find(connection, review_id)
        owner = Owner(LOCAL_TENANT_ID, review_id)
        given = await records.give_verdict(connection, review, owner, "Ada", answers(review.cards))
    assert given.verdict.outcome is Outcome.APPROVED
    refused = onbrand("pack", "promote", pack.id, **settings)
    assert refused.returncode == 78
    assert ("is damaged" if harm == "altered" else "No pack has an id") in refused.stderr
    assert "Approved by Ada" in run("show", pack.id).stdout
