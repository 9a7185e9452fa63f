"""Which brand pack this worker draws with, and the change to another one between two jobs.

The worker follows an alias such as `production`. When the alias points to another pack, the worker fetches, verifies
and loads that pack, and only then claims a job. If a pack cannot be used, the worker logs that and goes on with the
previous pack.
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
from onbrand.jobs.workers import RefusedPack
from onbrand.packs import promotion
from onbrand.packs.base import Base
from onbrand.packs.manifest import BrandPack
from onbrand.packs.promotion import Alias
from onbrand.packs.store import PackStore
from onbrand.worker.model_process import ModelProcess

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 5.0
_RETRY_SECONDS = 60.0  # before a refused pack is tried again; the second time twice as long, and so on
_DOUBLINGS = 6
_LONGEST_RETRY_SECONDS = 3600.0  # each try may cost the time of loading two models
_RECONNECT_SECONDS = 1.0


@dataclass(frozen=True)
class _Refused:
    """A pack that could not be used, why, how often, and when to try again (`time.monotonic`)."""

    pack_id: str
    because: str
    times: int
    again_at: float


class PackInUse:
    """The pack of this worker's model process. Call `open` first.

    `turn` is a lock: whoever has it may draw or change the pack. `name` is an alias or a pack's id. `command` makes the
    command that starts the model process with the pack in a directory.
    """

    def __init__(
        self,
        name: str,
        database: Database,
        packs: PackStore,
        base: Base,
        model: ModelProcess,
        command: Callable[[Path], Sequence[str]],
    ) -> None:
        self.turn = asyncio.Lock()
        self._name = name
        self._database = database
        self._packs = packs
        self._base = base
        self._model = model
        self._command = command
        self._pack: BrandPack | None = None
        self._previous: BrandPack | None = None  # while another pack is tried
        self._refused: _Refused | None = None

    @property
    def pack(self) -> BrandPack:
        """The pack that is loaded or being loaded."""
        assert self._pack is not None, "open() comes first"
        return self._pack

    @property
    def shown(self) -> BrandPack:
        """The pack that people are told: while another one is loaded, which may be refused, the one before."""
        return self.pack if self._previous is None or self._model.is_ready else self._previous

    @property
    def refused(self) -> RefusedPack | None:
        """The pack that this worker should draw with and can't use, until it can or another one is live."""
        refused = self._refused
        return None if refused is None else RefusedPack(refused.pack_id, refused.because)

    async def open(self, *, waits_for_first: bool = False) -> None:
        """Look up the pack and fetch it, so that it can be loaded. Waits for a database that does not answer.

        With `waits_for_first` it also waits until a pack is live, if none has ever been.

        Raises:
            PackNotFound: the alias points to no pack, or the pack is not in the pack store.
            PackUnfit: the pack is for other weights.
            WeightsMissing, WeightsUnusable, ObjectStoreRefused, ObjectStoreUnreachable, DataDirUnwritable: it cannot be
                fetched.
        """
        pack_id = await self._wait_for_name()
        if pack_id is None and waits_for_first:
            logger.warning(_no_pack_sentence(self._name), extra={"action": "wait_for_pack"})
        while pack_id is None and waits_for_first:
            await asyncio.sleep(_RECONNECT_SECONDS)
            pack_id = await self._wait_for_name()
        if pack_id is None:
            raise PackNotFound(_no_pack_sentence(self._name))
        await self._use(await self._fetch(pack_id))

    async def _wait_for_name(self) -> str | None:
        while True:
            try:
                async with self._database.transaction() as connection:
                    return await self._named(connection)
            except DatabaseUnavailable:
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def must_change(self, connection: Connection) -> bool:
        """Whether another pack must be loaded first. No alias can be moved until the caller's transaction ends."""
        return self._is_due(await promotion.resolve_for_claim(connection, self._name))

    async def ensure_ready(self) -> None:
        """Return once a model is loaded: with the pack that the alias names, or with the previous one if that fails.

        The caller has the lock `turn`.

        Raises:
            SetupError: no model can be loaded, not even with the previous pack.
        """
        try:
            async with self._database.transaction() as connection:
                named = await promotion.resolve(connection, self._name)
        except DatabaseUnavailable:
            named = None  # the claim looks again
        if named == self.pack.id:
            self._refused = None
        elif named is not None and self._is_due(named):
            await self._change(named)
        if not self._model.is_ready:
            # Before a pack is loaded again, its local copy is verified again, and fetched anew if it was damaged.
            await self._fetch(self.pack.id)
            await self._model.ensure_ready()

    async def watch(self) -> None:
        """Follow the alias while no job is drawn. Between two jobs, `ensure_ready` and the claim look anyway.

        Raises:
            SetupError: see `ensure_ready`.
        """
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            if not self.turn.locked():
                async with self.turn:
                    await self.ensure_ready()

    async def _named(self, connection: Connection) -> str | None:
        named = await promotion.resolve(connection, self._name)
        if named is None and self._name == Alias.PRODUCTION and self._packs.bundled is not None:
            return self._packs.bundled.id  # it is live until another pack is promoted
        return named

    def _is_due(self, named: str | None) -> bool:
        if named is None or named == self.pack.id:
            return False
        refused = self._refused
        return refused is None or refused.pack_id != named or time.monotonic() >= refused.again_at

    async def _change(self, pack_id: str) -> None:
        previous = self._previous = self.pack
        logger.info("Changing to the brand pack %s", promotion.short(pack_id), extra={"action": "switch_pack"})
        try:
            pack = await self._fetch(pack_id)
            await self._use(pack)
            await self._model.ensure_ready()
        except SetupError as error:
            self._refuse(pack_id, previous, error)
            if self.pack is not previous:
                await self._use(previous)
            return
        finally:
            self._previous = None
            self._model.changed.set()  # so that a refusal is announced at once
        self._refused = None
        logger.info(
            "Drawing with %s, version %s, from now on",
            pack.manifest.name,
            pack.manifest.version,
            extra={"action": "switch_pack"},
        )

    def _refuse(self, pack_id: str, previous: BrandPack, error: SetupError) -> None:
        refused = self._refused
        times = refused.times + 1 if refused is not None and refused.pack_id == pack_id else 1
        pause = min(_RETRY_SECONDS * 2 ** min(times - 1, _DOUBLINGS), _LONGEST_RETRY_SECONDS)
        self._refused = _Refused(pack_id, error.message, times, time.monotonic() + pause)
        logger.error(
            "The brand pack %s can't be used, so %s draws on (it is tried again in %.0f s): %s",
            promotion.short(pack_id),
            promotion.short(previous.id),
            pause,
            error.message,
            extra={"action": "pack_refused"},
        )

    async def _fetch(self, pack_id: str) -> BrandPack:
        pack = await in_thread(lambda: self._packs.fetch(pack_id))
        self._base.require_fit(pack.manifest)
        return pack

    async def _use(self, pack: BrandPack) -> None:
        """Make this the pack of the next model process, and end the running one."""
        self._pack = pack
        await self._model.use(self._command(pack.directory))


def _no_pack_sentence(name: str) -> str:
    if name == Alias.PRODUCTION:
        return (
            "No brand pack is live, and none ships with this model. Add one with `onbrand pack add DIR`, then make it"
            " live with `onbrand pack promote ID`."
        )
    return f"ONBRAND_PACK={name}, and no pack is the {name} one: make one so with `onbrand pack promote ID`."
