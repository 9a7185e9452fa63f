"""Runs all checks of a configuration, at the same time where they do not depend on each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from onbrand.budget import governor
from onbrand.budget.plan import Plan
from onbrand.concurrency import in_thread
from onbrand.config import Environment, Settings
from onbrand.database import diagnostics, migrations, scaler
from onbrand.database.address import Address, configured, url_of
from onbrand.database.pool import Connection, Database
from onbrand.doctor import machine, parts, server, work
from onbrand.doctor.guard import guarded, guarded_together
from onbrand.doctor.report import CHECKS, Findings, Report, State, Verdict, problem, skipped, warning
from onbrand.errors import DatabaseUnavailable
from onbrand.jobs import metrics, retention, workers
from onbrand.jobs.queue import deliveries_waiting
from onbrand.local.cluster import require_usable
from onbrand.local.database_url import running_url
from onbrand.packs import promotion

_QUICK_SECONDS = 5.0
_PORT_SECONDS = 10.0
_SIGN_IN_SECONDS = 7.0
_LOOK_SECONDS = 4.0  # for one transaction; `Database` has a shorter limit of its own
_OF_THE_SERVER = ("postgresql", "role", "transport", "session", "clock", "connections")
_OF_THE_TABLES = ("schema", "rights")
_OF_THE_WORK = (
    ("workers", "waiting", "leases", "deliveries", "sweep", "deletion", "comparison"),
    ("budget",),
    ("pack",),
    ("failures",),
    ("overdue",),
    ("missing_images",),
    ("damaged_images",),
    ("review",),
)


def refused(reason: str) -> Report:
    """The report on settings that were refused. Without settings nothing else can be checked."""
    found = dict.fromkeys(CHECKS, skipped("The settings are refused."))
    return Report(found | {"settings": problem(f"{reason}."), "python": machine.python()})


async def examine(
    settings: Settings,
    unknown: Sequence[str],
    *,
    skip_weights: bool,
    skip_gpu: bool,
    tell: Callable[[str], None],
) -> Report:
    """Run all checks. This takes about ten seconds, and longer if the weights are read.

    `tell` gets a sentence about each step that takes long. `unknown` are names in the environment that are not
    settings.
    """
    blocking: dict[str, tuple[float, Callable[[], Verdict]]] = {
        "settings": (_QUICK_SECONDS, lambda: machine.settings_known(settings, unknown)),
        "python": (_QUICK_SECONDS, machine.python),
        "data_dir": (_QUICK_SECONDS, lambda: machine.data_dir(settings)),
        "disk": (_QUICK_SECONDS, lambda: machine.disk(settings)),
        "page": (_QUICK_SECONDS, lambda: machine.page(settings)),
        "port": (_PORT_SECONDS, lambda: machine.port(settings)),
        "sign_in": (_SIGN_IN_SECONDS, lambda: parts.sign_in(settings)),
        "members": (_QUICK_SECONDS, lambda: parts.members(settings)),
        "origins": (_QUICK_SECONDS, lambda: parts.origins(settings)),
        "images": (parts.STORE_SECONDS, lambda: parts.images(settings)),
        "soft_delete": (_QUICK_SECONDS, lambda: parts.soft_delete(settings)),
        "retention": (_QUICK_SECONDS, lambda: work.retention(settings)),
    }
    verdicts, gpu, model, database = await asyncio.gather(
        asyncio.gather(*(guarded(seconds, partial(in_thread, look)) for seconds, look in blocking.values())),
        _gpu(skip_gpu),
        guarded(
            parts.WEIGHTS_SECONDS,
            partial(in_thread, lambda: parts.model(settings, skip_weights=skip_weights, tell=tell)),
        ),
        _database(settings),
    )
    return Report(dict(zip(blocking, verdicts, strict=True)) | {"gpu": gpu, "model": model} | database)


async def _gpu(skip: bool) -> Verdict:
    if skip:
        return skipped("Left out with --skip-gpu.")
    return await guarded(machine.GPU_SECONDS + 2, machine.gpu)


async def _database(settings: Settings) -> Findings:
    """All checks that need the database. If we cannot connect, only the first."""
    address: Address | None = None

    def reach() -> Verdict:
        nonlocal address
        if (address := configured(settings)) is not None:
            return server.reach(address)
        address = running_url(settings.data_dir)
        if address is None:
            require_usable(settings.data_dir)  # its errors are those that `onbrand up` would end with
            return warning("The embedded PostgreSQL isn't running.", "`onbrand up` starts it.")
        reached = server.reach(address)
        advice = f"Stop `onbrand up` and start it again; {settings.data_dir / 'postgres.log'} may say more."
        return reached if reached.state is State.OK else replace(reached, advice=advice)

    reached = await guarded(_QUICK_SECONDS, partial(in_thread, reach))
    others = (*_OF_THE_SERVER, *_OF_THE_TABLES, *(check for checks in _OF_THE_WORK for check in checks))
    found = {"database": reached} | dict.fromkeys(others, skipped("No database can be reached."))
    if reached.state is not State.OK or address is None:
        return found
    database = Database(address, application_name="onbrand doctor", max_connections=1)
    await database.open()
    try:
        return found | await _Looks(database, settings, url_of(address)).all()
    finally:
        await database.close()


class _Looks:
    """Reads one database in several transactions, one after the other, until one of them gets no answer."""

    def __init__(self, database: Database, settings: Settings, url: str) -> None:
        self._database = database
        self._settings = settings
        self._url = url
        self._lost = False

    async def all(self) -> Findings:
        found = await self._look(_OF_THE_SERVER, self._server)
        found |= await self._look(_OF_THE_TABLES, self._tables)
        looks = (
            self._work,
            self._budget,
            self._pack,
            self._failures,
            self._overdue,
            self._missing,
            self._damaged,
            self._review,
        )
        for checks, look in zip(_OF_THE_WORK, looks, strict=True):
            if any(found[check].state in (State.PROBLEM, State.SKIPPED) for check in _OF_THE_TABLES):
                found |= dict.fromkeys(checks, skipped("The tables can't be read: see schema and rights."))
            else:
                found |= await self._look(checks, look)
        return found

    async def _look(self, checks: Sequence[str], look: Callable[[Connection], Awaitable[Findings]]) -> Findings:
        async def asked() -> Findings:
            try:
                async with self._database.transaction() as connection:
                    return await look(connection)
            except DatabaseUnavailable:
                self._lost = True
                raise

        if self._lost:
            return dict.fromkeys(checks, skipped("The database stopped answering."))
        return await guarded_together(checks, _LOOK_SECONDS, asked)

    async def _server(self, connection: Connection) -> Findings:
        here = datetime.now(UTC)
        return server.judge(await diagnostics.server(connection), self._url, self._settings.env, here)

    async def _tables(self, connection: Connection) -> Findings:
        if forbidden := await diagnostics.forbidden(connection):
            return {"rights": work.rights(forbidden), "schema": skipped("The role may not read the table.")}
        applied = await migrations.applied_here(connection)
        version, needed = (applied[-1].version if applied else None), migrations.migrations()[-1].version
        rights = work.rights(forbidden) if applied else skipped("There are no tables.")
        if altered := migrations.altered(applied):
            return {"rights": rights, "schema": problem(migrations.altered_message(altered))}
        return {"rights": rights, "schema": work.schema(version, needed)}

    async def _work(self, connection: Connection) -> Findings:
        now = await metrics.collect(connection)
        return work.upkeep(now) | {
            "workers": work.workers(now),
            "waiting": work.waiting(now),
            "leases": work.leases(await diagnostics.lapsed(connection, work.LAPSED_SECONDS)),
            "deliveries": work.deliveries(now.queued, await deliveries_waiting(connection)),
        }

    async def _budget(self, connection: Connection) -> Findings:
        plan = Plan.of(self._settings)
        found = None if plan is None else await governor.standing(connection, plan)
        needs_scaler = self._settings.env is Environment.PRODUCTION
        is_missing = needs_scaler and not await scaler.is_admitted(connection)
        return {"budget": work.budget(found, is_scaler_missing=is_missing)}

    async def _pack(self, connection: Connection) -> Findings:
        return {"pack": work.pack((await workers.refused_packs(connection)).values())}

    async def _failures(self, connection: Connection) -> Findings:
        return {"failures": work.failures(await diagnostics.endings(connection))}

    async def _overdue(self, connection: Connection) -> Findings:
        return {"overdue": work.overdue(await retention.overdue(connection))}

    async def _missing(self, connection: Connection) -> Findings:
        return {"missing_images": work.missing_images(await diagnostics.missing(connection, work.JOBS_NAMED))}

    async def _damaged(self, connection: Connection) -> Findings:
        damaged = await diagnostics.damaged(connection, work.JOBS_NAMED)
        return {"damaged_images": work.damaged_images(damaged, await diagnostics.unread(connection))}

    async def _review(self, connection: Connection) -> Findings:
        live = await promotion.resolve(connection, self._settings.pack)
        signed = (await promotion.sign_offs(connection)).get(live) if live else None
        taken = await promotion.taken_back(connection)
        return {"review": work.review(live, signed, self._settings.env, taken)}
