"""`RUN/run.json`: everything that a training run depends on, fixed before its first step.

Whoever has the run's folder and its base can repeat it: the normalised illustrations are in it, too.
"""

from __future__ import annotations

import fcntl
import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from onbrand import __version__
from onbrand.errors import RunUnusable, TrainingRefused
from onbrand.packs.manifest import TrainedOn
from onbrand.storage.files import STRICT, RelativePath, Sha256
from onbrand.training.prompts import SamplePrompt
from onbrand.training.settings import TrainingSettings
from onbrand.training.whole_files import write_whole

RECORD = "run.json"
STATE = "state"  # what a killed run goes on from
PICTURES = "pictures"
HELD_OUT = "held-out"  # those of them that a review may show
CHECKPOINTS = "checkpoints"
CACHE = "cache.safetensors"
REPORT = "report.html"
LOCK = ".lock"
_LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "pillow", "safetensors")


@dataclass(frozen=True)
class PictureRecord:
    """One illustration. `file` is its normalised copy in the run."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: str
    caption: str
    digest: Sha256
    file: RelativePath
    is_held_out: bool


@dataclass(frozen=True)
class Record:
    """All of `run.json`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    schema: Literal[1]
    onbrand: str
    versions: Mapping[str, str]
    device: str
    threads: Annotated[int, Field(ge=1)]  # of a CPU: sums are rounded by how they are divided among them
    base_model: str
    base: Sha256
    dataset: Sha256
    ground: str
    settings: TrainingSettings
    plan: str
    samples: tuple[SamplePrompt, ...]
    pictures: tuple[PictureRecord, ...]

    @property
    def trained_on(self) -> TrainedOn:
        """What the run trains on, as a pack may tell it."""
        return TrainedOn(self.ground, tuple(sorted(one.digest for one in self.pictures if not one.is_held_out)))

    def captions(self, *, is_held_out: bool) -> dict[str, str]:
        """The captions of what is trained on, or of what is held out, by the illustration's name."""
        return {one.name: one.caption for one in self.pictures if one.is_held_out is is_held_out}

    @property
    def prompts(self) -> list[str]:
        """All texts that the run needs: captions, and the prompts of its samples."""
        return [*(one.caption for one in self.pictures), *(one.prompt for one in self.samples)]


def write_record(folder: Path, record: Record) -> None:
    """Write `run.json`. From then on the run has begun.

    Raises:
        OSError: it can't be written.
    """
    write_whole(folder / RECORD, json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n")


def read_record(folder: Path) -> Record:
    """Read `run.json` strictly.

    Raises:
        RunUnusable: there is none, or it isn't one that this version understands.
    """
    try:
        document = (folder / RECORD).read_bytes()
    except OSError:
        raise RunUnusable(
            f"There is no training run in {folder}: name the folder that `onbrand train` wrote to with --out."
        ) from None
    try:
        return TypeAdapter(Record).validate_json(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise RunUnusable(
            f"The file {RECORD} in {folder} is wrong at {where} ({first['msg']}): bring it back, or train anew."
        ) from None


def versions() -> dict[str, str]:
    """Of Python and of the libraries that a result depends on."""
    return {"python": platform.python_version(), **{name: version_of(name) for name in _LIBRARIES}}


def onbrand_version() -> str:
    """Our own."""
    return __version__


def has_begun(folder: Path) -> bool:
    """Whether a run is in the folder already.

    Raises:
        TrainingRefused: something else is in it.
    """
    if (folder / RECORD).exists():
        return True
    ours = {PICTURES, HELD_OUT, LOCK, f"{RECORD}.partial"}  # of a run that was killed in its first moments
    if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - ours):
        raise TrainingRefused(f"{folder} is there already and is no training run: name a new folder with --out.")
    return False


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process works in a run. The lock ends with the process, however that ends.

    Raises:
        TrainingRefused: another process has it.
        OSError: the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingRefused(f"Another process is working in {folder}: wait for its end, or end it.") from None
        yield
