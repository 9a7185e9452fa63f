"""A picture as an HTTP answer: the PNG or its rendition, checked, with its name and what a browser may keep of it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from fastapi import Response

from onbrand.errors import ImageCorrupt, ImageNotReady
from onbrand.images.store import ImageStore
from onbrand.jobs.models import Job, StoredImage, download_name

logger = logging.getLogger(__name__)

# The bytes under this address never change while the job exists. A copy belongs to one token, so nobody else who signs
# in in this browser gets it, and none outlasts the job.
_FOR_ITS_LIFE = "private, max-age={seconds}, immutable"
_ASK_EACH_TIME = "private, no-cache"


async def answer_png(
    images: ImageStore, job: Job, image: StoredImage, *, if_none_match: str | None, is_download: bool
) -> Response:
    """The PNG. A browser may use its copy only after the API has checked token, owner and expiry again.

    Raises:
        ImageCorrupt, ImageStoreUnavailable: see `ImageStore.get`.
    """
    attempt = _result(job)
    headers = {
        "ETag": f'"{image.sha256}"',
        "Cache-Control": _ASK_EACH_TIME,
        "Content-Disposition": _disposition(job, image.n, ".png", is_download=is_download),
    }

    async def read() -> bytes:
        try:
            return await images.get(job.id, attempt, image)
        except ImageCorrupt:
            logger.error(
                "A stored image is damaged", extra={"action": "image_corrupt", "job_id": str(job.id), "n": image.n}
            )
            raise

    return await _answer(read, "image/png", headers, if_none_match)


async def answer_rendition(images: ImageStore, job: Job, image: StoredImage, *, if_none_match: str | None) -> Response:
    """The rendition; the PNG if there is none, or if it is damaged in the store.

    Raises:
        ImageCorrupt, ImageStoreUnavailable: see `ImageStore.get`.
    """
    attempt = _result(job)
    if image.rendition is not None and job.expires_at is not None:
        seconds = max(0, int((job.expires_at - datetime.now(UTC)).total_seconds()))
        headers = {
            "ETag": f'"{image.rendition.sha256}"',
            "Cache-Control": _FOR_ITS_LIFE.format(seconds=seconds),
            "Vary": "Authorization",
            "Content-Disposition": _disposition(job, image.n, ".webp", is_download=False),
        }

        async def read() -> bytes:
            rendition = await images.get_rendition(job.id, attempt, image)
            assert rendition is not None  # the row names one
            return rendition

        try:
            return await _answer(read, "image/webp", headers, if_none_match)
        except ImageCorrupt:
            logger.error(
                "A stored rendition is damaged: its tile shows the PNG",
                extra={"action": "rendition_failed", "job_id": str(job.id), "n": image.n},
            )
    return await answer_png(images, job, image, if_none_match=if_none_match, is_download=False)


def _result(job: Job) -> int:
    if job.result_attempt is None:
        raise ImageNotReady
    return job.result_attempt


def _disposition(job: Job, n: int, ending: str, *, is_download: bool) -> str:
    name = download_name(job.prompt, job.created_at, job.id, n).removesuffix(".png") + ending
    return f'{"attachment" if is_download else "inline"}; filename="{name}"'


async def _answer(
    read: Callable[[], Awaitable[bytes]], media_type: str, headers: dict[str, str], if_none_match: str | None
) -> Response:
    if _matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(await read(), media_type=media_type, headers=headers)


def _matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the client already has the image (RFC 9110 §13.1.2: weak comparison; `*` matches any)."""
    tags = {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}
    return bool(tags & {etag, "*"})
