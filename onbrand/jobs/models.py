"""What a job is: pure data and arithmetic, without a clock, a database or a network.

A *job* is our row; an *attempt* is one try at drawing it. The attempt number is the fencing token: every change a
worker makes names it, and a worker whose number is no longer the row's changes nothing.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

IMAGES_PER_JOB = 4
IMAGE_SIZE = 1024
RENDITION_SIZE = 512
MAX_SEED = 2**53 - 1  # exact in a JSON number
_SHARE_OF_ENCODING = 4  # percent when drawing starts
_SHARE_OF_DRAWING = 92  # percent when saving starts


class Status(StrEnum):
    """The four statuses of the specification."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETE = "complete"
    FAILED = "failed"


class Phase(StrEnum):
    """What happens within the status `queued` (the first three) and `processing` (the others)."""

    WAITING = "waiting"
    STARTING_GPU = "starting_gpu"
    LOADING_MODEL = "loading_model"
    ENCODING = "encoding"
    DRAWING = "drawing"
    SAVING = "saving"


@dataclass(frozen=True)
class Progress:
    """How far an attempt is: `step` of `steps` denoising steps."""

    phase: Phase
    step: int = 0
    steps: int = 0
    previews: tuple[bytes, ...] = field(default=(), repr=False)  # four JPEG files, or nothing

    @property
    def percent(self) -> int:
        """0–99; it never decreases within an attempt. Only a published job has 100."""
        match self.phase:
            case Phase.DRAWING:
                share = self.step / self.steps if self.steps else 0
                return _SHARE_OF_ENCODING + round((_SHARE_OF_DRAWING - _SHARE_OF_ENCODING) * share)
            case Phase.SAVING:
                return _SHARE_OF_DRAWING + 4
            case Phase.ENCODING:
                return 1
            case _:
                return 0


@dataclass(frozen=True)
class Owner:
    """A person: the directory's tenant and the object id in it, never a name or an e-mail address."""

    tenant_id: UUID
    user_id: UUID


@dataclass(frozen=True)
class Pack:
    """The brand pack that a job was drawn with."""

    id: str
    name: str
    version: str


@dataclass(frozen=True)
class Job:
    """A job as its owner may see it."""

    id: UUID
    owner: Owner
    prompt: str
    prompt_truncated: bool | None  # None until the job is complete
    prompt_ignored: int | None  # code points at the prompt's end that the model's encoders could not read
    seeds: tuple[int, ...]
    status: Status
    progress: Progress
    percent: int
    attempt: int
    result_attempt: int | None
    error_code: str | None
    pack: Pack | None
    created_at: datetime
    started_at: datetime | None  # of the latest attempt
    completed_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True)
class Claim:
    """The right of one worker to one attempt."""

    job_id: UUID
    attempt: int  # the fencing token
    tries: int  # how many attempts have counted, this one included
    prompt: str
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class StoredRendition:
    """The rendition of a published image: `sha256` in hexadecimal, `size` in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class StoredImage:
    """One published image: `n` is 1–4, `sha256` in hexadecimal and `size` in bytes are those of the PNG."""

    n: int
    sha256: str
    size: int
    rendition: StoredRendition | None = None  # None: drawn by an older version, or it could not be made


def stored_image(row: Mapping[str, Any]) -> StoredImage:
    """The image that a row of the table `image` names."""
    sha256, size = row["rendition_sha256"], row["rendition_size"]
    rendition = None if sha256 is None else StoredRendition(sha256, size)
    return StoredImage(row["n"], row["sha256"], row["size"], rendition)


def new_seed() -> int:
    """A new seed for a job, from the operating system's randomness."""
    return random.SystemRandom().randint(0, MAX_SEED)


def image_seeds(job_seed: int) -> tuple[int, ...]:
    """Four different image seeds from one job seed; the same on every machine and Python version.

    `random.Random` is the Mersenne Twister. Python promises that `getrandbits` keeps its numbers, but not that `sample`
    does, so the seeds come one by one from `getrandbits`.
    """
    generator = random.Random(job_seed)
    seeds: list[int] = []
    while len(seeds) < IMAGES_PER_JOB:
        seed = generator.getrandbits(53)
        if seed not in seeds:
            seeds.append(seed)
    return tuple(seeds)


def image_key(job_id: UUID, attempt: int, n: int) -> str:
    """The object store's key of an image: `jobs/{id}/{attempt}/{n}.png`.

    Raises:
        ValueError: `n` is not 1 to 4, or `attempt` is not at least 1.
    """
    return f"{_key(job_id, attempt, n)}.png"


def rendition_key(job_id: UUID, attempt: int, n: int) -> str:
    """The object store's key of an image's rendition, beside its PNG: `jobs/{id}/{attempt}/{n}-512.webp`.

    Raises:
        ValueError: `n` is not 1 to 4, or `attempt` is not at least 1.
    """
    return f"{_key(job_id, attempt, n)}-{RENDITION_SIZE}.webp"


def image_keys(job_id: UUID, attempt: int, image: StoredImage) -> list[str]:
    """The keys of all that is stored of a published image."""
    found = [image_key(job_id, attempt, image.n)]
    return found if image.rendition is None else [*found, rendition_key(job_id, attempt, image.n)]


def _key(job_id: UUID, attempt: int, n: int) -> str:
    if not 1 <= n <= IMAGES_PER_JOB or attempt < 1:
        raise ValueError("n is 1 to 4 and attempt at least 1")
    return f"jobs/{job_id}/{attempt}/{n}"


def download_name(prompt: str, created_at: datetime, job_id: UUID, n: int) -> str:
    """A readable ASCII file name: `onbrand_paper-plane_2026-01-28_7f3a_2.png`, the slug at most 40 characters."""
    ascii_prompt = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode().lower()
    slug = ""
    for word in re.findall(r"[a-z0-9]+", ascii_prompt):
        if len(slug) + len(word) > 39:
            break
        slug = f"{slug}-{word}" if slug else word
    return f"onbrand_{slug or 'illustration'}_{created_at:%Y-%m-%d}_{str(job_id)[:4]}_{n}.png"
