"""`onbrand reproduce`: the same picture again from its file, and a plain sentence for what can't be drawn again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from pydantic import SecretStr

from onbrand.cli.generate import generate
from onbrand.cli.reproduce import ROUNDING_LEVELS, Difference, probable_reason, reproduce
from onbrand.config import PrecisionChoice, Settings
from onbrand.database.pool import Database
from onbrand.errors import (
    ConfigError,
    DataDirUnwritable,
    NotReproducible,
    OnbrandError,
    PackNotFound,
    PromptBlank,
    SetupError,
)
from onbrand.images import png
from onbrand.images.png import Provenance
from tests import jobs
from tests.system import onbrand

PROMPT = "a red backpack"
FAR = np.full((8, 8, 3), 100, np.uint8)

ELSEWHERE = (
    "because it was drawn by another kind of processor, on another number of threads, or with another version of torch"
    " or Onbrand"
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The third picture of a drawing."""
    folder = tmp_path_factory.mktemp("drawn")
    return generate(Settings(data_dir=folder / "data"), PROMPT, folder / "pictures", 7)[2].read_bytes()


@pytest.fixture
def picture(tmp_path: Path, drawn: bytes) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(drawn)
    return path


def retold(picture: Path, change: Callable[[Provenance], Provenance], pixels: np.ndarray | None = None) -> Path:
    """The same file with another provenance, or other pixels."""
    data = picture.read_bytes()
    provenance = png.provenance(data)
    assert provenance is not None
    picture.write_bytes(png.encode(png.decode(data) if pixels is None else pixels, change(provenance)))
    return picture


def of_job(picture: Path, job_id: UUID) -> Path:
    return retold(picture, lambda provenance: replace(provenance, job_id=str(job_id)))


def with_database(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"database_url": SecretStr(url)})


def submitted(url: str, statement: str = "select 1") -> UUID:
    """A job in the database, and then a statement."""

    async def submit() -> UUID:
        database = Database(url, application_name="test", max_connections=1)
        await database.open()
        job_id = await jobs.submit(database, prompt=PROMPT)
        async with database.transaction() as connection:
            await connection.execute(statement)
        await database.close()
        return job_id

    return asyncio.run(submit())


def test_a_picture_is_drawn_again_from_its_file_and_its_jobs_prompt(
    settings: Settings, picture: Path, database_url: str
) -> None:
    of_job(picture, submitted(database_url))
    before = picture.read_bytes()
    reproduced = reproduce(with_database(settings, database_url), picture, prompt=None, out=None)
    assert reproduced.difference == Difference(0, 0.0, 0.0)
    assert reproduced.reason is None
    assert reproduced.as_sentences() == f"Identical: every pixel is the same.\nWritten to {reproduced.written}"
    assert reproduced.written == picture.with_name("picture-reproduced.png")
    assert reproduced.written.read_bytes() == before  # the provenance too
    assert sorted(path.name for path in picture.parent.glob("*.*")) == ["picture-reproduced.png", "picture.png"]


def test_a_picture_that_was_changed_is_reported_as_different(picture: Path, tmp_path: Path) -> None:
    pixels = png.decode(picture.read_bytes()).copy()
    pixels[:256, :, 0] ^= 8
    retold(picture, lambda provenance: provenance, pixels)
    out = tmp_path / "again.png"
    command = ("reproduce", str(picture), "--prompt", PROMPT, "--out", str(out), "--json")
    done = onbrand(*command, DATA_DIR=str(tmp_path / "data"))
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout) == {
        "picture": str(picture),
        "written": str(out),
        "precision": "float32",
        "is_identical": False,
        "is_within_rounding": False,
        # the command may draw on another number of threads than this process did
        "max_level": pytest.approx(8, abs=ROUNDING_LEVELS),
        "mean_level": pytest.approx(8 / 12, abs=0.01),
        "share": pytest.approx(0.25, abs=0.01),
        "reason": ELSEWHERE,
    }
    off = np.abs(png.decode(out.read_bytes())[256:].astype(int) - pixels[256:])
    assert off.max() <= ROUNDING_LEVELS
    assert "Drawing 4 pictures" in done.stderr


@pytest.mark.parametrize(("levels", "is_rounding"), [(0, True), (2, True), (3, False)])
def test_two_levels_are_rounding(levels: int, is_rounding: bool) -> None:
    near = FAR.copy()
    near[0, 0, 1] -= levels
    for difference in (Difference.between(near, FAR), Difference.between(FAR, near)):
        assert (difference.max_level, difference.is_rounding) == (levels, is_rounding)
        assert difference.share == (1 / 64 if levels else 0)


@pytest.mark.parametrize(
    ("max_level", "mean_level", "precision", "is_prompt_given", "reason"),
    [
        (200, 30.0, "int8", True, "because it was drawn in float32, and now in int8"),
        (200, 30.0, "float32", True, "because it was drawn from another prompt"),
        (
            200,
            30.0,
            "float32",
            False,
            ELSEWHERE,
        ),
        (0, 0.0, "int8", True, None),
    ],
)
def test_the_reason_follows_from_the_file_and_the_pixels(
    max_level: int, mean_level: float, precision: str, is_prompt_given: bool, reason: str | None
) -> None:
    found = Difference(max_level, mean_level, share=0.5)
    assert probable_reason(found, "float32", precision, is_prompt_given=is_prompt_given) == reason


def refused(error: type[OnbrandError], settings: Settings, picture: Path, prompt: str | None = PROMPT) -> str:
    """The sentence; nothing was written."""
    with pytest.raises(error) as caught:
        reproduce(settings, picture, prompt=prompt, out=picture.with_name("again.png"))
    assert not picture.with_name("again.png").exists()
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_file_that_says_nothing_is_refused(settings: Settings, picture: Path) -> None:
    for data in (b"", b"GIF89a", b"\xff\xd8\xff"):
        picture.write_bytes(data)
        assert "doesn't say how it was drawn" in refused(NotReproducible, settings, picture)


def test_a_file_that_is_not_there_is_refused(settings: Settings, tmp_path: Path) -> None:
    assert "can't be read (No such file or directory)" in refused(NotReproducible, settings, tmp_path / "none.png")
    assert "can't be read (Is a directory)" in refused(NotReproducible, settings, tmp_path)


@pytest.mark.parametrize("kept", [0.5, 0.9999])
def test_a_file_that_is_cut_off_is_refused(settings: Settings, picture: Path, kept: float) -> None:
    data = picture.read_bytes()
    picture.write_bytes(data[: int(kept * len(data))])
    assert refused(NotReproducible, settings, picture).startswith("The picture's file is ")


def test_a_file_whose_provenance_was_changed_is_refused(settings: Settings, picture: Path) -> None:
    retold(picture, lambda provenance: replace(provenance, seeds=(1, 2, 3, 4)))
    assert "where the picture comes from is damaged" in refused(NotReproducible, settings, picture)


def test_another_model_than_the_one_that_is_set_is_refused(settings: Settings, picture: Path) -> None:
    retold(picture, lambda provenance: replace(provenance, model="hidream-i1-dev"))
    assert refused(ConfigError, settings, picture) == (
        "This picture was drawn by hidream-i1-dev, and here ONBRAND_MODEL=mini: set it to hidream-i1-dev."
    )
    retold(picture, lambda provenance: replace(provenance, model="hidream-o1"))
    assert "a model that this version of Onbrand doesn't have" in refused(NotReproducible, settings, picture)


def test_a_pack_that_is_not_here_is_refused(settings: Settings, picture: Path) -> None:
    retold(picture, lambda provenance: replace(provenance, pack_id="b" * 64))
    assert "bbbbbbbbbbbb" in refused(PackNotFound, settings, picture)


def test_a_prompt_that_the_page_would_refuse_is_refused(settings: Settings, picture: Path) -> None:
    refused(PromptBlank, settings, picture, " ")


def test_without_job_and_prompt_it_asks_for_the_prompt(settings: Settings, picture: Path) -> None:
    assert refused(NotReproducible, settings, picture, None) == (
        "This picture was drawn without a job, so its prompt is kept nowhere: give it with --prompt."
    )


@pytest.mark.parametrize("url", [None, "postgresql://onbrand:secret@127.0.0.1:1/onbrand"], ids=["none", "away"])
def test_without_a_database_that_answers_it_asks_for_the_prompt(
    settings: Settings, picture: Path, url: str | None
) -> None:
    of_job(picture, uuid4())
    asked = settings if url is None else with_database(settings, url)
    assert refused(NotReproducible, asked, picture, None) == (
        "A picture doesn't contain its prompt, and no database answers that may know it: give it with --prompt."
    )


@pytest.mark.parametrize(
    "statement",
    [
        "delete from job",
        "update job set status = 'failed', error_code = 'cancelled', completed_at = now(), expires_at = now()",
    ],
    ids=["deleted", "expired"],
)
def test_a_prompt_that_has_expired_is_not_used(
    settings: Settings, picture: Path, database_url: str, statement: str
) -> None:
    of_job(picture, submitted(database_url, statement))
    assert refused(NotReproducible, with_database(settings, database_url), picture, None) == (
        "The job of this picture isn't kept here: give its prompt with --prompt."
    )


def test_nothing_is_overwritten(settings: Settings, picture: Path, drawn: bytes) -> None:
    for out, there in ((picture, drawn), (None, b"mine")):
        picture.with_name("picture-reproduced.png").write_bytes(b"mine")
        with pytest.raises(DataDirUnwritable, match="isn't overwritten"):
            reproduce(settings, picture, prompt=PROMPT, out=out)
        assert (out or picture.with_name("picture-reproduced.png")).read_bytes() == there


def test_a_folder_that_is_not_there_is_refused_before_anything_is_drawn(settings: Settings, picture: Path) -> None:
    with pytest.raises(DataDirUnwritable, match="No such file or directory"):
        reproduce(settings, picture, prompt=PROMPT, out=picture.parent / "none" / "again.png")


def test_when_drawing_fails_the_new_file_is_removed(settings: Settings, picture: Path) -> None:
    impossible = settings.model_copy(update={"precision": PrecisionChoice.INT8})  # the mini model has float32 only
    with pytest.raises(SetupError):
        reproduce(impossible, picture, prompt=PROMPT, out=None)
    assert not picture.with_name("picture-reproduced.png").exists()


def test_a_refusal_is_one_line_and_ends_with_1(picture: Path, tmp_path: Path) -> None:
    of_job(picture, uuid4())
    away = "postgresql://onbrand:secret@127.0.0.1:1/onbrand"
    done = onbrand("reproduce", str(picture), DATA_DIR=str(tmp_path / "data"), DATABASE_URL=away)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("onbrand: A picture doesn't contain its prompt")
    assert done.stderr.count("\n") == 1
