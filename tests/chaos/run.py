"""The chaos run: people use a deployment while faults are injected. Then the faults end, and everything is checked.

The seed decides the jobs, the faults and their order. The exact moments differ from run to run, so a failure may need
several runs with the same seed to come back.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from onbrand.config import Settings
from onbrand.database.pool import Database
from onbrand.images.store import ImageStore
from onbrand.maintenance import Maintenance
from tests.azurite import settings_with
from tests.chaos import verdict as verdicts
from tests.chaos.deployment import Deployment, running_deployment, until
from tests.chaos.faults import KILLS, LEASE_SECONDS, FaultInjector, plan
from tests.chaos.people import Ledger, Person, Refused, wishes
from tests.chaos.stores import Container, Folder, Store
from tests.chaos.verdict import MAX_ATTEMPTS, Verdict

_SAY_SECONDS = 10.0
_STUCK_SECONDS = 60.0
_QUIET_SECONDS = 60.0
_LOG_LINES = 20  # of what is not ready in time
_SETTINGS = {
    "LEASE_SECONDS": str(LEASE_SECONDS),
    "MAX_ATTEMPTS": str(MAX_ATTEMPTS),  # so many that a good job is never given up only because many faults hit it
    "JOB_DEADLINE_SECONDS": "3600",
    "MAX_QUEUED": "10000",
    "MAX_QUEUED_PER_USER": "2",  # fewer than a person wants at once, so that 429 happens
    "MAX_SUBMITTED_PER_MINUTE": "60",
    "SHUTDOWN_GRACE_SECONDS": "0.4",  # half a job: some jobs are finished, some given back
}


@dataclass(frozen=True)
class Chaos:
    """The size of a run. `azure`: the images are in Azurite instead of a folder."""

    seed: int
    jobs: int
    kills: int
    users: int = 20
    apis: int = 2
    workers: int = 3
    azure: bool = False

    @property
    def again(self) -> str:
        """The command that repeats this run."""
        size = f"--jobs {self.jobs} --kills {self.kills} --users {self.users}"
        size += f" --apis {self.apis} --workers {self.workers}{' --azure' * self.azure}"
        return f"python -m benchmarks chaos {size} --seed {self.seed}"


@dataclass
class Outcome:
    """What was done in a run, and what was found."""

    chaos: Chaos
    injected: dict[str, int]
    ledger: Ledger
    verdict: Verdict
    seconds: float
    starts: dict[str, int] = field(default_factory=dict)

    @property
    def kills(self) -> int:
        return sum(times for kind, times in self.injected.items() if kind in KILLS)

    @property
    def disturbances(self) -> int:
        return sum(self.injected.values()) - self.kills

    def table(self) -> str:
        """The outcome as a Markdown table."""
        found = self.verdict
        rows = [
            ("seed", self.chaos.seed),
            ("seconds", round(self.seconds)),
            *sorted(self.injected.items()),
            *((f"processes started for {name}", times) for name, times in self.starts.items()),
            *sorted(self.ledger.requests.items()),
            ("jobs acknowledged", self.ledger.submitted),
            *((f"jobs {how}", times) for how, times in sorted(found.jobs.items())),
            ("attempts", found.attempts),
            ("verified images", found.images),
            ("**lost**", found.lost),
            ("**doubled**", found.doubled),
            ("**torn**", found.torn),
            ("good jobs given up after all their tries", found.given_up),
            ("breaches in all", len(found.breaches)),
        ]
        table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
        if found.breaches:
            shown = "\n".join(f"* {breach}" for breach in found.breaches[:30])
            table += f"\n\n{shown}\n\nThe same again: {self.chaos.again}"
        return table


async def run_chaos(chaos: Chaos, folder: Path, say: Callable[[str], None]) -> Outcome:
    """Do a run and check it. `folder` is empty, and the user that runs PostgreSQL may enter it."""
    started = time.monotonic()
    store: Store = Container(folder / "azurite") if chaos.azure else Folder(folder)
    settings = _SETTINGS | store.settings()
    try:
        async with running_deployment(folder, settings, apis=chaos.apis, workers=chaos.workers) as deployment:
            ledger = Ledger(wishes(chaos.seed, chaos.jobs, chaos.users))
            injector = FaultInjector(deployment, store, plan(chaos.seed, chaos.kills))
            telling = asyncio.create_task(_tell(chaos, ledger, injector, say))
            try:
                await _storm(chaos, deployment, ledger, injector)
                say("quiet: waiting for what is unfinished")
                exit_codes = await _calm(deployment, ledger)
            finally:
                telling.cancel()
            await _collect(deployment, store, settings)
            found = verdicts.judge(deployment, ledger, await store.files(), exit_codes)
            starts = {part.name: len(part.started) for part in deployment.parts}
            return Outcome(chaos, dict(injector.injected), ledger, found, time.monotonic() - started, starts)
    finally:
        store.close()


async def _storm(chaos: Chaos, deployment: Deployment, ledger: Ledger, injector: FaultInjector) -> None:
    """Return when all faults are injected and all jobs have ended, or when no job ends any more."""

    async def all_of_it() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(injector.inject_all(lambda: ledger.ended / chaos.jobs))
                for number, user_id in enumerate({wish.user_id: None for wish in ledger.wishes}):
                    theirs = [wish for wish in ledger.wishes if wish.user_id == user_id]
                    person = Person(deployment, ledger, user_id, theirs, random.Random(f"person {chaos.seed} {number}"))
                    group.create_task(person.live())
        except* Refused:
            pass  # the reason is in the ledger

    storm = asyncio.create_task(all_of_it())
    ended = -1
    while not storm.done() and ended < ledger.ended:
        ended = ledger.ended
        await asyncio.wait({storm}, timeout=_STUCK_SECONDS)
    if storm.done():
        storm.result()
    else:
        ledger.breaches.append(f"no job ended for {_STUCK_SECONDS:.0f} s")
        storm.cancel()
        await asyncio.wait({storm})


async def _calm(deployment: Deployment, ledger: Ledger) -> dict[str, int]:
    """Return when no work is left and everything has stopped. Returns the exit codes of the stopped processes."""

    async def expect(
        what: str, look: Callable[[], bool], seconds: float, tell: Callable[[], object] = lambda: ""
    ) -> None:
        try:
            await until(look, seconds, what)
        except TimeoutError as error:
            ledger.breaches.append(f"{error}; {tell()}".removesuffix("; "))

    def nothing_in(statement: str) -> Callable[[], bool]:
        return lambda: not deployment.query(statement)

    unfinished = "select id from job where status in ('queued', 'processing')"
    await expect("all was ready", deployment.is_ready, _QUIET_SECONDS, lambda: _story(deployment))
    await expect("no job was unfinished", nothing_in(unfinished), _QUIET_SECONDS)
    waiting = "select id from procrastinate_jobs where status = 'todo'"
    await expect("no delivery waited", nothing_in(waiting), _QUIET_SECONDS)
    exit_codes = await deployment.stop(deployment.workers)
    # Deliveries of killed workers are deleted after a day. All workers are dead now; let a day pass.
    deployment.query("update procrastinate_workers set last_heartbeat = now() - interval '2 days'")
    await expect("no delivery was left", nothing_in("select id from procrastinate_jobs"), _QUIET_SECONDS)
    return exit_codes | await deployment.stop(deployment.apis)


def _story(deployment: Deployment) -> str:
    """What is not ready, with the end of its log."""
    logs = {
        part.name: part.log_path.read_text(errors="replace").splitlines()[-_LOG_LINES:] for part in deployment.parts
    }
    return "\n".join(line for missing in deployment.unready() for line in [missing, *logs[missing.split()[0]]])


async def _collect(deployment: Deployment, store: Store, settings: dict[str, str]) -> None:
    """Compare rows and stored images, as the API does every six hours, with all images old enough to be deleted."""
    chosen = settings_with(Settings(), **settings)
    database = Database(deployment.postgres.url, application_name="chaos", max_connections=2)
    await database.open()
    try:
        with store.aged():
            await Maintenance(chosen, database, ImageStore.open(chosen)).collect()
    finally:
        await database.close()


async def _tell(chaos: Chaos, ledger: Ledger, injector: FaultInjector, say: Callable[[str], None]) -> None:
    started = time.monotonic()
    while True:
        await asyncio.sleep(_SAY_SECONDS)
        say(
            f"{time.monotonic() - started:.0f} s: {ledger.submitted} of {chaos.jobs} jobs acknowledged,"
            f" {ledger.ended} ended, {injector.injected.total()} of {len(injector.faults)} faults injected,"
            f" {len(ledger.breaches)} breaches"
        )
