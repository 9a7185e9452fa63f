"""What the commands share that draw in their own process: they load a model, show progress and write a picture.

A terminal gets a progress bar, everything else gets lines. Both go to standard error, because standard output is for
the command's result.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from onbrand.config import PrecisionChoice, Settings
from onbrand.errors import DataDirUnwritable
from onbrand.jobs.models import Phase
from onbrand.jobs.models import Progress as Step

if TYPE_CHECKING:
    from onbrand.hidream.pipeline import Pipeline
    from onbrand.packs.manifest import BrandPack

_STAGES = 4  # that `hidream.load` reports
_LOADING_SHARE = 20  # percent of the bar, without the imports


class Bar:
    """Shows how far loading and drawing are. A context manager."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        is_hidden = not self._console.is_terminal
        self._progress = Progress(*columns, TimeElapsedColumn(), console=self._console, disable=is_hidden)
        self._task = self._progress.add_task(
            "Loading the model", total=None
        )  # no total: the bar pulses during the imports
        self._stages = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._progress.stop()

    def say(self, sentence: str) -> None:
        """Print a line if there is no bar."""
        if not self._console.is_terminal:
            self._console.print(sentence)

    def remark(self, sentence: str) -> None:
        """Print a line, also beside the bar."""
        self._console.print(sentence)

    def on_stage(self, _: object) -> None:
        """Show that one stage of loading has ended."""
        self._stages += 1
        self._progress.update(self._task, total=100, completed=_LOADING_SHARE * self._stages / _STAGES)

    def on_drawing(self, step: Step) -> None:
        """Show the progress that `Pipeline.draw` reports."""
        if step.phase is Phase.DRAWING:
            completed = _LOADING_SHARE + (99 - _LOADING_SHARE) * step.step / step.steps
            description = f"Drawing, step {step.step} of {step.steps}"
            self._progress.update(self._task, total=100, description=description, completed=completed)

    def done(self, sentence: str) -> None:
        """Show that everything is written."""
        self._progress.update(self._task, description=sentence, completed=100)


def load(settings: Settings, pack: BrandPack, precision: PrecisionChoice, bar: Bar) -> Pipeline:
    """Load the configured model with a brand pack into this process.

    Raises:
        WeightsMissing, WeightsUnusable, PackUnfit, NotEnoughMemory, PrecisionUnsupported: as for `load_pipeline`.
    """
    bar.say("Loading the model")
    from onbrand.hidream.load import load_pipeline  # takes seconds: the bar is shown before
    from onbrand.packs.base import configured_base
    from onbrand.storage.files import derived_folder

    return load_pipeline(
        configured_base(settings),
        pack,
        precision=precision,
        prepared_folder=derived_folder(settings),
        cache=settings.data_dir / "cache",
        on_stage=bar.on_stage,
    )


def write(path: Path, png: bytes) -> Path:
    """Write a picture completely or not at all.

    Raises:
        DataDirUnwritable: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        partial.write_bytes(png)
        partial.replace(path)
    except OSError as error:
        raise DataDirUnwritable(
            f"The pictures can't be written ({error.strerror}). Free some space, or write them elsewhere with --out."
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return path
