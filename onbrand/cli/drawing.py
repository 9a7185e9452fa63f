"""What the commands that draw here and now share: a model in this process, a bar to watch it by, and a written file.

The bar is for a terminal; elsewhere there are plain lines. Both go to standard error: standard output is the answer.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from onbrand.config import PrecisionChoice, Settings
from onbrand.errors import DataDirUnwritable
from onbrand.jobs.models import Phase
from onbrand.jobs.models import Progress as Step
from onbrand.packs.base import configured_base
from onbrand.packs.manifest import BrandPack
from onbrand.storage.files import derived_folder

if TYPE_CHECKING:
    from onbrand.hidream.pipeline import Pipeline

_STAGES = 4  # of `hidream.load`
_LOADING_SHARE = 20  # percent of the bar, once the imports are done


class Bar:
    """How far loading and drawing are; a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        is_hidden = not self._console.is_terminal
        self._progress = Progress(*columns, TimeElapsedColumn(), console=self._console, disable=is_hidden)
        self._task = self._progress.add_task("Loading the model", total=None)  # a pulse, until the imports are done
        self._stages = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._progress.stop()

    def say(self, sentence: str) -> None:
        """A line where there is no bar."""
        if not self._console.is_terminal:
            self._console.print(sentence)

    def remark(self, sentence: str) -> None:
        """A line in any case."""
        self._console.print(sentence)

    def on_stage(self, _: object) -> None:
        """A part of loading has ended."""
        self._stages += 1
        self._progress.update(self._task, total=100, completed=_LOADING_SHARE * self._stages / _STAGES)

    def on_drawing(self, step: Step) -> None:
        """What `Pipeline.draw` reports."""
        if step.phase is Phase.DRAWING:
            completed = _LOADING_SHARE + (99 - _LOADING_SHARE) * step.step / step.steps
            description = f"Drawing, step {step.step} of {step.steps}"
            self._progress.update(self._task, total=100, description=description, completed=completed)

    def done(self, sentence: str) -> None:
        """Everything is written."""
        self._progress.update(self._task, description=sentence, completed=100)


def load(settings: Settings, pack: BrandPack, precision: PrecisionChoice, bar: Bar) -> Pipeline:
    """The settings' model with a brand pack, in this process.

    Raises:
        WeightsMissing, WeightsUnusable, PackUnfit, NotEnoughMemory, PrecisionUnsupported: as `load_pipeline`.
    """
    bar.say("Loading the model")
    from onbrand.hidream.load import load_pipeline  # seconds of imports: the bar is there before them

    return load_pipeline(
        configured_base(settings),
        pack,
        precision=precision,
        prepared_folder=derived_folder(settings),
        cache=settings.data_dir / "cache",
        on_stage=bar.on_stage,
    )


def write(path: Path, png: bytes) -> Path:
    """Write a picture whole or not at all.

    Raises:
        DataDirUnwritable: it cannot be written there.
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
