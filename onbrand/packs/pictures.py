"""The pictures of the live pack in the memory of a process that shows them."""

from __future__ import annotations

import asyncio
import logging
import time

from onbrand.config import Settings
from onbrand.errors import SetupError
from onbrand.packs.store import PackStore, ShownPicture

logger = logging.getLogger(__name__)

_AGAIN_SECONDS = 60  # a store that fails is asked again after this time


class StylePictures:
    """The pictures of the pack that was asked for last, in memory: they are a hundred kilobytes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pack_id: str | None = None
        self._pictures: tuple[ShownPicture, ...] = ()
        self._valid_until = 0.0
        self._reading = asyncio.Lock()

    async def of(self, pack_id: str) -> tuple[ShownPicture, ...]:
        """The pack's pictures. A store that can't be read shows none: the page works without them."""
        async with self._reading:
            if pack_id != self._pack_id or time.monotonic() >= self._valid_until:
                self._pictures, seconds = await asyncio.to_thread(self._read, pack_id)
                self._pack_id, self._valid_until = pack_id, time.monotonic() + seconds
            return self._pictures

    def _read(self, pack_id: str) -> tuple[tuple[ShownPicture, ...], float]:
        try:
            return PackStore.open(self._settings).pictures(pack_id), float("inf")
        except SetupError as error:
            logger.warning(
                "The pictures of the live style can't be shown: %s",
                error,
                extra={"action": "style_pictures_failed", "pack_id": pack_id},
            )
            return (), _AGAIN_SECONDS
