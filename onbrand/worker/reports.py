"""Progress in a frame, and back. Both directions are in one file, so that a change reaches both."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

from onbrand.jobs.models import IMAGES_PER_JOB, Phase, Progress
from onbrand.worker.frames import Frame

_MAX_PREVIEW_BYTES = 32 * 1024  # a preview has about 3 kB; a much larger one would only fill the database


def to_frame(job_id: str, progress: Progress) -> Frame:
    """A `progress` frame. Its payload is the previews, one after the other."""
    fields = {
        "job_id": job_id,
        "phase": progress.phase,
        "step": progress.step,
        "steps": progress.steps,
        "previews": [len(preview) for preview in progress.previews],
    }
    return Frame("progress", fields, b"".join(progress.previews))


def from_frame(frame: Frame) -> Progress:
    """The progress in a frame. If the previews are not four small JPEG files, they are left out and drawing goes on."""
    fields = frame.fields
    previews = _cut(frame.payload, fields.get("previews"))
    return Progress(Phase(fields["phase"]), fields["step"], fields["steps"], previews)


def _cut(payload: bytes, sizes: Any) -> tuple[bytes, ...]:
    if not isinstance(sizes, list) or len(sizes) != IMAGES_PER_JOB:
        return ()
    if not all(type(size) is int and 0 < size <= _MAX_PREVIEW_BYTES for size in sizes) or sum(sizes) != len(payload):
        return ()
    previews = tuple(payload[start:end] for start, end in pairwise(accumulate(sizes, initial=0)))
    if not all(preview.startswith(b"\xff\xd8\xff") and preview.endswith(b"\xff\xd9") for preview in previews):
        return ()
    return previews
