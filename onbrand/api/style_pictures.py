"""The pictures that the live style shows of itself, before a person has drawn anything. Each pack has its own."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from onbrand.api.dependencies import Member, ServicesOfProcess
from onbrand.api.problems import documented
from onbrand.errors import NotFound
from onbrand.jobs import workers

router = APIRouter()

_NEVER_CHANGES = "private, max-age=86400, immutable"


class PictureView(BaseModel):
    """A picture that the style drew when it was built."""

    prompt: str
    url: str = Field(description="relative to the API; a WebP of 512 × 512 pixels")


class StylePicturesView(BaseModel):
    """What the live style shows of itself."""

    pictures: list[PictureView] = Field(description="empty for a style that was built without")


@router.get("/style/pictures", responses=documented(401, 403))
async def get_style_pictures(_identity: Member, services: ServicesOfProcess, response: Response) -> StylePicturesView:
    """The pictures that the live style shows of itself."""
    response.headers["Cache-Control"] = "private, no-cache"
    pack_id = await _live_pack(services)
    shown = () if pack_id is None else await services.style_pictures.of(pack_id)
    return StylePicturesView(
        pictures=[
            PictureView(prompt=picture.prompt, url=f"/style/pictures/{pack_id}/{n}")
            for n, picture in enumerate(shown, start=1)
        ]
    )


@router.get(
    "/style/pictures/{pack_id}/{n}",
    responses={200: {"content": {"image/webp": {}}}, **documented(401, 403, 404, 422)},
    response_class=Response,
)
async def get_style_picture(pack_id: str, n: int, _identity: Member, services: ServicesOfProcess) -> Response:
    """One of them, while the style is live."""
    if pack_id != await _live_pack(services):
        raise NotFound
    pictures = await services.style_pictures.of(pack_id)
    if not 1 <= n <= len(pictures):
        raise NotFound
    picture = pictures[n - 1]
    headers = {"ETag": f'"{picture.sha256}"', "Cache-Control": _NEVER_CHANGES, "Vary": "Authorization"}
    return Response(picture.webp, media_type="image/webp", headers=headers)


async def _live_pack(services: ServicesOfProcess) -> str | None:
    async with services.database.transaction() as connection:
        style = await workers.live_style(connection)
    return None if style is None else style.pack.id
