"""`onbrand reproduce`: draws a picture again from what its file says, and says whether the pixels are the same.

The PNG file names the pack, the model, the precision and the seeds of all pictures of its job. It does not contain the
prompt, which comes from the command line, or from the picture's job as long as the job is kept.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from onbrand.cli.drawing import Bar, load, write
from onbrand.cli.output import AsJson, silence_logs
from onbrand.config import ModelName, PrecisionChoice, Settings, load_settings
from onbrand.errors import BadImage, ConfigError, DatabaseUnavailable, DataDirUnwritable, NotReproducible, SetupError
from onbrand.jobs import prompt as prompts

if TYPE_CHECKING:
    import numpy as np

    from onbrand.database.address import Address
    from onbrand.images.png import Provenance

# Levels of 255, which nobody can see. With another number of threads, another batch size or other kernels, colours of
# the mini model's pictures differed by 1 level (measured).
ROUNDING_LEVELS = 2
# A longer prompt for the same thing changed colours by 5 levels on average, another thing by 25 (measured).
_ANOTHER_PROMPT_LEVELS = 4.0
_LARGEST_FILE = 64 * 2**20  # bytes; 1024×1024 pixels of noise are 3 MB


def reproduce_command(
    picture: Annotated[Path, typer.Argument(metavar="FILE.png", help="A picture that Onbrand drew.")],
    prompt: Annotated[
        str | None,
        typer.Option(help="The prompt of the picture. Default: the prompt of its job, as long as the job is kept."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The new file. Default: beside the picture.")] = None,
    as_json: AsJson = False,
) -> None:
    """Draw a picture again, and say whether the result is the same."""
    silence_logs()
    reproduced = reproduce(load_settings(), picture, prompt=prompt, out=out)
    typer.echo(reproduced.as_json() if as_json else reproduced.as_sentences())
    raise typer.Exit(0 if reproduced.is_same else 1)


@dataclass(frozen=True)
class Difference:
    """How much two pictures differ."""

    max_level: int  # 0 to 255: the largest difference of a colour value
    mean_level: float
    share: float  # 0 to 1: of the pixels, those that differ at all

    @classmethod
    def between(cls, first: np.ndarray, second: np.ndarray) -> Difference:
        """The difference of two pictures `(H, W, 3)`, uint8."""
        import numpy as np

        off = np.abs(first.astype(np.int16) - second)
        return cls(int(off.max()), float(off.mean()), float((off.max(axis=2) > 0).mean()))

    @property
    def is_rounding(self) -> bool:
        """Whether no colour value differs by more than `ROUNDING_LEVELS`."""
        return self.max_level <= ROUNDING_LEVELS


@dataclass(frozen=True)
class Reproduced:
    """A picture that was drawn again, and how much it differs from the first."""

    picture: Path
    written: Path
    precision: str  # of the second drawing
    difference: Difference
    reason: str | None  # why the picture probably differs; None if it does not

    @property
    def is_same(self) -> bool:
        """Whether the pictures are identical, or differ by rounding only."""
        return self.difference.is_rounding

    def as_json(self) -> str:
        """One JSON document for a script."""
        document = {
            "picture": str(self.picture),
            "written": str(self.written),
            "precision": self.precision,
            "is_identical": self.difference.max_level == 0,
            "is_within_rounding": self.difference.is_rounding,
            **asdict(self.difference),
            "reason": self.reason,
        }
        return json.dumps(document, indent=2, ensure_ascii=False)

    def as_sentences(self) -> str:
        """The result, and where the new picture is."""
        found = "Identical: every pixel is the same."
        if self.difference.max_level:
            degree = "The same up to rounding" if self.difference.is_rounding else "Different"
            found = (
                f"{degree}: colours are up to {self.difference.max_level} of 255 levels off, in"
                f" {100 * self.difference.share:.2g} % of the pixels. Probably {self.reason}."
            )
        return f"{found}\nWritten to {self.written}"


def reproduce(settings: Settings, picture: Path, *, prompt: str | None, out: Path | None) -> Reproduced:
    """Draw all pictures of the job again, compare this one, and write it. No file is overwritten.

    Raises:
        NotReproducible: the file is not a complete picture of ours, or its prompt is not known.
        ConfigError: the picture was drawn by another model than the configured one.
        PromptBlank, PromptTooLong, PromptInvalid: the API would refuse the prompt, too.
        PackNotFound, WeightsMissing, WeightsUnusable: the pack or the model cannot be loaded.
        DataDirUnwritable: the new picture cannot be written.
    """
    from onbrand.images import png
    from onbrand.packs.store import PackStore

    pixels, provenance = _read(picture)
    _require_model(settings, provenance.model)
    text = _prompt_of(settings, provenance.job_id) if prompt is None else prompts.normalise(prompt)
    pack = PackStore.open(settings).fetch(provenance.pack_id)
    precision = settings.precision
    if precision is PrecisionChoice.AUTO:
        precision = PrecisionChoice(provenance.precision)
    written = _reserve(out or picture.with_name(f"{picture.stem}-reproduced.png"))
    try:
        with Bar() as bar:
            pipeline = load(settings, pack, precision, bar)
            seeds = provenance.seeds
            bar.say(f"Drawing {len(seeds)} pictures, as they were drawn together")
            drawn = pipeline.draw(text, seeds, bar.on_drawing, lambda: False).pixels[seeds.index(provenance.seed)]
            again = pipeline.provenance(provenance.seed, seeds, provenance.job_id)
            write(written, png.encode(drawn, again))
            bar.done("Done")
    except BaseException:
        written.unlink(missing_ok=True)
        raise
    difference = Difference.between(drawn, pixels)
    reason = probable_reason(difference, provenance.precision, again.precision, is_prompt_given=prompt is not None)
    return Reproduced(picture, written, again.precision, difference, reason)


def probable_reason(found: Difference, drawn_in: str, drawn_again_in: str, *, is_prompt_given: bool) -> str | None:
    """Why a picture differs, as far as its file and the pixels say; None if it does not differ."""
    if found.max_level == 0:
        return None
    if drawn_in != drawn_again_in:
        return f"because it was drawn in {drawn_in}, and now in {drawn_again_in}"
    if is_prompt_given and found.mean_level > _ANOTHER_PROMPT_LEVELS:
        return "because it was drawn from another prompt"
    return (
        "because it was drawn by another kind of processor, on another number of threads, or with another version of"
        " torch or Onbrand"
    )


def _read(picture: Path) -> tuple[np.ndarray, Provenance]:
    from onbrand.images import png

    try:
        with picture.open("rb") as stream:
            data = stream.read(_LARGEST_FILE)
    except OSError as error:
        raise NotReproducible(f"{picture} can't be read ({error.strerror}).") from None
    try:
        provenance = png.provenance(data)
        if provenance is None:
            raise NotReproducible(
                f"{picture} doesn't say how it was drawn. Give the PNG as Onbrand wrote it: other programs drop that,"
                " and older versions of Onbrand noted less."
            )
        return png.decode(data), provenance
    except BadImage as error:
        raise NotReproducible(f"{error.message} Give the file as Onbrand wrote it.") from None


def _require_model(settings: Settings, model: str) -> None:
    if model not in set(ModelName):
        raise NotReproducible(f"This picture was drawn by {model}, a model that this version of Onbrand doesn't have.")
    if model != settings.model:
        raise ConfigError(
            f"This picture was drawn by {model}, and here ONBRAND_MODEL={settings.model}: set it to {model}."
        )


def _prompt_of(settings: Settings, job_id: str | None) -> str:
    if job_id is None:
        raise NotReproducible(
            "This picture was drawn without a job, so its prompt is kept nowhere: give it with --prompt."
        )
    from onbrand.database.address import configured
    from onbrand.local.database_url import running_url

    try:
        address = configured(settings) or running_url(settings.data_dir)
        found = asyncio.run(_ask(address, UUID(job_id))) if address is not None else None
    except (DatabaseUnavailable, SetupError):
        address = None
    if address is None:
        raise NotReproducible(
            "A picture doesn't contain its prompt, and no database answers that may know it: give it with --prompt."
        )
    if found is None:
        raise NotReproducible("The job of this picture isn't kept here: give its prompt with --prompt.")
    return found


async def _ask(address: Address, job_id: UUID) -> str | None:
    from onbrand.database import migrations
    from onbrand.database.pool import Database
    from onbrand.jobs import service

    database = Database(address, application_name="onbrand reproduce", max_connections=1)
    await database.open()
    try:
        async with database.transaction() as connection:
            await migrations.require_current(connection)
            return await service.prompt_of(connection, job_id)
    finally:
        await database.close()


def _reserve(path: Path) -> Path:
    """Create the empty file before minutes are spent on drawing, and make sure that no file is overwritten."""
    try:
        path.open("xb").close()
    except FileExistsError:
        raise DataDirUnwritable(f"{path} exists already and isn't overwritten. Give --out another name.") from None
    except OSError as error:
        raise DataDirUnwritable(
            f"{path} can't be written ({error.strerror}). Give --out a file in a folder that you may write."
        ) from None
    return path
