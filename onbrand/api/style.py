"""What the live style's model can draw, for a model of known limits. A model without such limits has nothing to say."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from onbrand.api.dependencies import Member, ServicesOfProcess
from onbrand.api.problems import documented
from onbrand.config import Settings
from onbrand.errors import SetupError
from onbrand.packs.base import base_at_hand
from onbrand.packs.known import Known, known_things

router = APIRouter()


class ThingView(BaseModel):
    """A thing that the model has learned to draw."""

    name: str
    words: list[str] = Field(description="other words for it")


class KnownView(BaseModel):
    """The limits of a small model. Whoever shows them compares a prompt with them before it is sent."""

    most_things: int | None = Field(description="how many things one picture can hold; null: any number")
    things: list[ThingView]
    near: dict[str, list[int]] = Field(
        description="a word that names nothing known, to the nearest things by their places in `things`"
    )


class StyleLimits(BaseModel):
    """What the live style's model can draw."""

    known: KnownView | None = Field(description="null: the model has no list of what it knows, as HiDream has none")


@router.get("/style/limits", responses=documented(401, 403))
async def get_style_limits(_identity: Member, services: ServicesOfProcess, response: Response) -> StyleLimits:
    """What the model behind the live style knows. The list comes with its weights, and changes with them."""
    known = await asyncio.to_thread(_known, services.settings)
    response.headers["Cache-Control"] = "private, no-cache"
    return StyleLimits(known=None if known is None else _present(known))


def _known(settings: Settings) -> Known | None:
    """The limits of the base in a folder of this machine. A list that can't be used says nothing: pictures go on."""
    if not isinstance(settings.place(settings.model_place), Path):
        return None
    try:
        base = base_at_hand(settings)
        return None if base is None else known_things(base)
    except SetupError:
        return None


def _present(known: Known) -> KnownView:
    things = [ThingView(name=thing.name, words=list(thing.words)) for thing in known.things]
    near = {word: list(places) for word, places in known.near.items()}
    return KnownView(most_things=known.most_things, things=things, near=near)
