"""Which objects of the store are images of ours, by their keys. Every other object belongs to somebody else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from onbrand.jobs.models import IMAGES_PER_JOB, RENDITION_SIZE, image_key, rendition_key
from onbrand.storage.object_store import Listed

UUID_PATTERN = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
KEY = re.compile(rf"jobs/({UUID_PATTERN})/([1-9][0-9]{{0,8}})/([1-{IMAGES_PER_JOB}])(\.png|-{RENDITION_SIZE}\.webp)")
HALF_WRITTEN = re.compile(rf"{KEY.pattern}#[0-9]+")  # obstore renames or links this file once it is complete
FOLDER = re.compile(rf"jobs/{UUID_PATTERN}(/[1-9][0-9]{{0,8}})?")


@dataclass(frozen=True)
class StoredKey:
    """One image's PNG or rendition in the store, whether or not it is a job's result."""

    job_id: UUID
    attempt: int
    n: int  # 1–4
    modified: datetime  # when it was stored, by the store's clock
    is_rendition: bool = False

    @property
    def key(self) -> str:
        """The object's key."""
        named = rendition_key if self.is_rendition else image_key
        return named(self.job_id, self.attempt, self.n)


def parse(listed: Listed) -> StoredKey | None:
    """What a listed object is of an image; None if its key is not exactly as we write it."""
    found = KEY.fullmatch(listed.key)
    if found is None:
        return None
    return StoredKey(UUID(found[1]), int(found[2]), int(found[3]), listed.modified, found[4] != ".png")
