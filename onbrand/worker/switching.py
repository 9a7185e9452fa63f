"""Which brand pack this worker draws with, and the change to another one between two jobs.

An alias such as `production` is followed: when it points to another pack, that one is fetched, verified and loaded, and
only then is a job claimed. A pack that cannot be had costs nothing but a line in the log: the one before draws on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from onbrand.concurrency import in_thread
from onbrand.database.pool import Connection, Database
from onbrand.errors import DatabaseUnavailable, PackNotFound, SetupError
from onbrand.packs import promotion
from onbrand.packs.base import Base
from onbrand.packs.manifest import BrandPack
from onbrand.packs.promotion import Alias
from onbrand.packs.store import PackStore
from onbrand.worker.model_process import ModelProcess

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 5.0
_RETRY_SECONDS = 60.0  # before a pack that could not be had is tried again; then twice as long, and so on
_DOUBLINGS = 6
_LONGEST_RETRY_SECONDS = 3600.0  # each try may cost the time of loading two models
_RECONNECT_SECONDS = 1.0


@dataclass(frozen=True)
class _Refused:
    """A pack that could not be had, so many times, and when to try again (`time.monotonic`)."""

    pack_id: str
    times: int
    again_at: float


class PackInUse:
    """The pack of this worker's model process. Call `open` first; whoever holds `turn` draws, or changes the pack.

    `name` is an alias or an id; `command` says how to start the model process with the pack in a directory.
    """

    def __init__(
        self,
        name: str,
        database: Database,
        shelf: PackStore,
        base: Base,
        model: ModelProcess,
        command: Callable[[Path], Sequence[str]],
    ) -> None:
        self.turn = asyncio.Lock()
        self._name = name
        self._database = database
        self._shelf = shelf
        self._base = base
        self._model = model
        self._command = command
        self._pack: BrandPack | None = None
        self._refused: _Refused | None = None

    @property
    def pack(self) -> BrandPack:
        """What is loaded, or being loaded."""
        assert self._pack is not None, "open() comes first"
        return self._pack

    async def open(self) -> None:
        """Find out which pack it is, and have it ready to be loaded; waits for a database that is away.

        Raises:
            PackNotFound: the alias points to no pack, or the pack is not on the shelf.
            PackUnfit: it is for other weights.
            WeightsMissing, WeightsUnusable, ObjectStoreRefused, ObjectStoreUnreachable, DataDirUnwritable: it cannot be
                fetched.
        """
        while True:
            try:
                async with self._database.transaction() as connection:
                    pack_id = await self._named(connection)
                break
            except DatabaseUnavailable:
                await asyncio.sleep(_RECONNECT_SECONDS)
        if pack_id is None:
            raise PackNotFound(_nothing_named(self._name))
        await self._take(await self._fetch(pack_id))

    async def must_change(self, connection: Connection) -> bool:
        """Whether another pack is to be loaded first. Until the caller's transaction ends no alias is moved."""
        return self._is_due(await promotion.resolve_for_claim(connection, self._name))

    async def ensure_ready(self) -> None:
        """Return once a model is loaded, with the pack that the alias names or, if that cannot be had, the one before.

        The caller holds `turn`.

        Raises:
            SetupError: no model can be loaded, not even with the pack before.
        """
        try:
            async with self._database.transaction() as connection:
                named = await promotion.resolve(connection, self._name)
        except DatabaseUnavailable:
            named = None  # whoever claims a job looks again
        if named == self.pack.id:
            self._refused = None
        elif named is not None and self._is_due(named):
            await self._change(named)
        if not self._model.is_ready:
            # What is loaded again is compared again, and fetched anew if the copy was damaged meanwhile.
            await self._fetch(self.pack.id)
            await self._model.ensure_ready()

    async def watch(self) -> None:
        """Follow the alias while there is nothing to draw; whoever draws looks between two jobs anyway.

        Raises:
            SetupError: as for `ensure_ready`.
        """
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            if not self.turn.locked():
                async with self.turn:
                    await self.ensure_ready()

    async def _named(self, connection: Connection) -> str | None:
        named = await promotion.resolve(connection, self._name)
        if named is None and self._name == Alias.PRODUCTION and self._shelf.bundled is not None:
            return self._shelf.bundled.id  # until something is promoted
        return named

    def _is_due(self, named: str | None) -> bool:
        if named is None or named == self.pack.id:
            return False
        refused = self._refused
        return refused is None or refused.pack_id != named or time.monotonic() >= refused.again_at

    async def _change(self, pack_id: str) -> None:
        before = self.pack
        logger.info("Changing to the brand pack %s", promotion.short(pack_id), extra={"action": "switch_pack"})
        try:
            pack = await self._fetch(pack_id)
            await self._take(pack)
            await self._model.ensure_ready()
        except SetupError as error:
            self._refuse(pack_id, before, error)
            if self.pack is not before:
                await self._take(before)
            return
        self._refused = None
        logger.info(
            "Drawing with %s, version %s, from now on",
            pack.manifest.name,
            pack.manifest.version,
            extra={"action": "switch_pack"},
        )

    def _refuse(self, pack_id: str, before: BrandPack, error: SetupError) -> None:
        refused = self._refused
        times = refused.times + 1 if refused is not None and refused.pack_id == pack_id else 1
        pause = min(_RETRY_SECONDS * 2 ** min(times - 1, _DOUBLINGS), _LONGEST_RETRY_SECONDS)
        self._refused = _Refused(pack_id, times, time.monotonic() + pause)
        logger.error(
            "The brand pack %s can't be used, so %s draws on (it is tried again in %.0f s): %s",
            promotion.short(pack_id),
            promotion.short(before.id),
            pause,
            error.message,
            extra={"action": "pack_refused"},
        )

    async def _fetch(self, pack_id: str) -> BrandPack:
        pack = await in_thread(lambda: self._shelf.fetch(pack_id))
        self._base.require_fit(pack.manifest)
        return pack

    async def _take(self, pack: BrandPack) -> None:
        """Have the model process that is started next draw with a pack."""
        self._pack = pack
        await self._model.use(self._command(pack.directory))


def _nothing_named(name: str) -> str:
    if name == Alias.PRODUCTION:
        return (
            "No brand pack is live, and none ships with this model. Add one with `onbrand pack add DIR`, then make it"
            " live with `onbrand pack promote ID`."
        )
    return f"ONBRAND_PACK={name}, and no pack is the {name} one: make one so with `onbrand pack promote ID`."
