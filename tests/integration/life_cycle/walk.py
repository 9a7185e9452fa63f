"""One random walk: each rule is what people, workers, maintenance, clocks or crashes may do at any moment."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
)

from onbrand.database.pool import Connection
from onbrand.errors import BadImage, JobExpired, JobNotFound, WorkerLost
from onbrand.jobs import attempts, retention, service
from onbrand.jobs.fairness import next_job
from onbrand.jobs.models import Claim, Job, Owner, Pack, Phase, Progress, Status, StoredImage
from onbrand.jobs.queue import deliver
from onbrand.jobs.sweep import sweep_jobs
from tests.integration.life_cycle.expected_jobs import DAY, HOUR, LEASE, LIMITS, ExpectedJobs
from tests.integration.life_cycle.real_system import RealSystem
from tests.rules import RULES

PACK = Pack("a" * 64, "Sample brand", "1")
OWNERS = [Owner(UUID(int=1), UUID(int=number)) for number in (1, 2, 3)]
STRANGER = Owner(UUID(int=1), UUID(int=99))
LAPSE = LEASE + 6
WAITS = [11, LAPSE, LAPSE, LAPSE, LAPSE, 660, HOUR + 60, 3 * HOUR, 30 * DAY, 30 * DAY]  # each exceeds one limit
JUMPS = {"back an hour": -HOUR, "back five days": -5 * DAY, "ahead a month": 30 * DAY}  # of the database's clock
ACCIDENTS = ["lose deliveries", "deliver once more", "the clock is ahead for a moment", *JUMPS]
FAILURES = {"lose the model": WorkerLost, "draw badly": BadImage}
WHICH = st.integers(0, 5)
ENDS = ["publish", "publish, answer lost", "crash", "give back", *FAILURES]
MEANWHILE = ["nobody", "the sweep", "the sweep and others", "a deletion that is interrupted"]
MAINTENANCE = ["sweep", "expire", "begin to expire", "collect", "collect, confirmed"]


@dataclass
class Run:
    """An attempt that some worker works on, even if the attempt is no longer the job's running one."""

    claim: Claim
    worker_id: str
    delivery: int
    stored: dict[int, StoredImage] = field(default_factory=dict)


class LifeCycle(RuleBasedStateMachine):
    """Each rule is something that may happen at any moment."""

    def __init__(self, system: RealSystem) -> None:
        super().__init__()
        system.empty()
        self.system = system
        self.expected = ExpectedJobs()
        self.runs: list[Run] = []  # some worker works on them
        self.over: list[Run] = []  # ended
        self.idle: list[str] = []
        self.hired = 0
        for _ in range(3):
            self.hire()

    def hire(self) -> None:
        self.hired += 1
        self.idle.append(f"worker {self.hired}")

    def let_pass(self, seconds: int) -> None:
        self.set_clock(seconds)
        self.system.age(seconds)

    def set_clock(self, seconds: int) -> None:
        self.expected.now += seconds
        self.system.set_clock(self.expected.now)

    def tick(self) -> None:
        """Let a second pass: no two things happen in the same second, so their order is known."""
        self.set_clock(1)

    # --- people ------------------------------------------------------------------------------------------------------

    @rule(owner=st.sampled_from(OWNERS), key=st.sampled_from([None, "k"]), prompt=st.sampled_from("ab"))
    def submit(self, owner: Owner, key: str | None = None, prompt: str = "a") -> None:
        self.tick()
        expected = self.expected.answer(owner, key, prompt)

        async def change(connection: Connection) -> service.Submitted:
            return await service.submit(connection, owner, prompt, idempotency_key=key, limits=LIMITS)

        if isinstance(expected, type):
            with pytest.raises(expected):
                self.system.commit(change)
            return
        submitted = self.system.commit(change)
        if expected is not None:
            assert submitted == service.Submitted(expected.id, is_new=False)
        else:
            assert submitted.is_new
            self.expected.add(submitted.job_id, owner, key, prompt)

    @rule(which=WHICH, is_cancelling=st.booleans())
    def look(self, which: int, is_cancelling: bool) -> None:
        """Only the owner sees a job. Once it has expired, nobody sees it, whatever the clock does afterwards."""
        self.tick()
        if not (jobs := self.expected.jobs | self.expected.gone):
            return
        job_id = sorted(jobs, key=lambda job_id: jobs[job_id].created_at)[which % len(jobs)]
        job = jobs[job_id]

        async def find(connection: Connection, owner: Owner) -> Job:
            if is_cancelling:
                return await service.cancel(connection, owner, job_id, retention_hours=RULES.retention_hours)
            return await service.find(connection, owner, job_id)

        with pytest.raises(JobNotFound):
            self.system.commit(lambda connection: find(connection, STRANGER))
        if is_cancelling:
            self.expected.cancel(job_id)
        if job_id in self.expected.gone or self.expected.is_expired(job):
            with pytest.raises((JobExpired, JobNotFound)):
                self.system.commit(lambda connection: find(connection, job.owner))
        else:
            found = self.system.commit(lambda connection: find(connection, job.owner))
            assert (found.status, found.error_code) == (job.status, job.error_code)

    # --- workers -----------------------------------------------------------------------------------------------------

    @rule(is_answer_lost=st.booleans())
    def take(self, is_answer_lost: bool = False) -> None:
        """A worker takes a delivery and claims the next job. It may never get the answer to its claim."""
        if self.expected.next_job() is None:
            self.submit(OWNERS[len(self.expected.jobs) % 3])
        self.tick()
        if not self.idle or (delivery := self.system.take_delivery()) is None:
            return
        worker_id = self.idle.pop(0)
        self.expected.drop_lost_claims(worker_id)
        turn = self.expected.next_job()

        async def change(connection: Connection) -> Claim | None:
            await attempts.drop_lost_claims(connection, worker_id, RULES)
            assert await next_job(connection) == (turn and turn.id)
            if turn is None:
                return None
            claim = await attempts.claim(connection, turn.id, worker_id, pack=PACK, lease_seconds=LEASE)
            assert await attempts.claim(connection, turn.id, "too late", pack=PACK, lease_seconds=LEASE) is None
            return claim

        claim = self.system.commit(change)
        if turn is not None:
            assert claim is not None
            self.expected.claim(turn, worker_id)
            assert (claim.attempt, claim.tries) == (turn.attempt, turn.tries)
            if not is_answer_lost:
                self.runs.append(Run(claim, worker_id, delivery))
                return
        self.system.finish_delivery(delivery)
        self.idle.append(worker_id)

    @rule(which=WHICH, deed=st.sampled_from(["progress", "store one", "store all", "publish without a commit"]))
    def work(self, which: int, deed: str) -> None:
        if (run := self.any_run(which)) is None:
            return
        self.tick()
        if deed == "progress":
            self.report(run)
        else:
            self.store_images(run, 1 if deed == "store one" else 4)
        if deed == "publish without a commit":  # the connection breaks before the commit
            with pytest.raises(ConnectionError):
                self.system.commit(lambda connection: self.published(connection, run, and_break=True))

    @rule(which=WHICH, end=st.sampled_from(ENDS))
    def finish(self, which: int, end: str) -> None:
        if (run := self.any_run(which)) is None:
            return
        self.tick()
        self.runs.remove(run)
        if end == "crash":  # nobody looks after its delivery or its stored images
            self.hire()
            return
        if self.end(run, end) is False:
            self.system.discard(run.claim)
        self.system.finish_delivery(run.delivery)
        self.idle.append(run.worker_id)
        self.over.append(run)

    @rule(which=WHICH, end=st.sampled_from([*ENDS, "progress"]))
    def come_back(self, which: int, end: str) -> None:
        """An ended attempt is worked on once more, as by a worker that was frozen."""
        if not self.over:
            return
        self.tick()
        run = self.over[-1 - which % len(self.over)]
        if end == "progress":
            self.report(run)
        elif end != "crash":
            self.end(run, end)

    def end(self, run: Run, how: str) -> bool | None:
        """End an attempt. Whether its images are the result; None if they were not published and may stay."""
        if how == "give back":
            given = self.system.commit(lambda connection: attempts.give_back(connection, run.claim))
            assert given == self.expected.give_back(run.claim)
            return None
        if failure := FAILURES.get(how):
            ended = self.system.commit(lambda connection: attempts.end_attempt(connection, run.claim, failure, RULES))
            assert ended == self.expected.fail_attempt(run.claim, failure)
            return False
        self.store_images(run, 4)
        is_result = self.expected.publish(run.claim)
        for _ in range(2 if "lost" in how else 1):
            assert self.system.commit(lambda connection: self.published(connection, run)) == is_result
        return is_result

    def any_run(self, which: int) -> Run | None:
        if not self.runs:
            self.take()
        return self.runs[which % len(self.runs)] if self.runs else None

    def report(self, run: Run) -> None:
        progress = Progress(Phase.DRAWING, 6, 12)
        held = self.system.commit(
            lambda connection: attempts.record_progress(connection, run.claim, progress, lease_seconds=LEASE)
        )
        assert held == self.expected.progress(run.claim, progress)

    def store_images(self, run: Run, images: int) -> None:
        for n in range(1, images + 1):
            if n not in run.stored:
                run.stored[n] = self.system.put(run.claim, n)

    async def published(self, connection: Connection, run: Run, *, and_break: bool = False) -> bool:
        images, hours = [*run.stored.values()], RULES.retention_hours
        is_result = await attempts.publish(connection, run.claim, images, prompt_ignored=0, retention_hours=hours)
        if and_break:
            raise ConnectionError
        return is_result

    # --- maintenance, time and accidents -----------------------------------------------------------------------------

    @rule(deed=st.sampled_from(MAINTENANCE))
    def maintain(self, deed: str) -> None:
        self.tick()
        match deed:
            case "sweep":
                self.sweep()
            case "expire":
                due = self.expected.expire(is_interrupted=False)
                assert self.system.run(self.system.maintenance.expire()).deleted == len(due)
                assert not {UUID(path.parts[-3]) for path in self.system.files()} & due
            case "begin to expire":
                self.begin_to_expire()
            case _:
                self.collect(is_confirmed="confirmed" in deed)

    def begin_to_expire(self) -> None:
        """A deletion whose process dies after it has marked the jobs."""
        due = self.expected.expire(is_interrupted=True)
        assert set(self.system.commit(lambda connection: retention.mark_for_deletion(connection, 100))) == due

    def sweep(self) -> None:
        waiting = self.system.deliveries("todo")
        swept = self.system.commit(lambda connection: sweep_jobs(connection, RULES))
        requeued, failed = self.expected.sweep()
        assert (set(swept.requeued), dict(swept.failed)) == (requeued, failed)
        lacking = self.expected.lacking_deliveries(waiting + len(requeued))
        assert swept.delivered_again == lacking
        there = waiting + len(requeued) + lacking
        assert self.system.deliveries("todo") == min(there, self.expected.waiting)  # surplus deliveries are deleted
        assert self.system.deliveries("doing") == 0

    def collect(self, *, is_confirmed: bool) -> None:
        before = self.system.ages()
        orphans = self.expected.orphans(before, is_confirmed)
        collected = self.system.run(self.system.maintenance.collect(confirmed=is_confirmed))
        assert before.keys() - self.system.ages().keys() == orphans
        assert (collected.deleted, collected.missing) == (len(orphans), 0)

    @rule(seconds=st.sampled_from(WAITS), meanwhile=st.sampled_from(MEANWHILE))
    def wait(self, seconds: int, meanwhile: str) -> None:
        """Time passes; afterwards a sweep runs, a deletion begins, or nothing happens."""
        self.let_pass(seconds)
        if "deletion" in meanwhile:
            self.begin_to_expire()
        if "sweep" in meanwhile:
            self.sweep()
        if "others" in meanwhile:
            while self.idle and self.expected.next_job() is not None and self.system.deliveries("todo"):
                self.take()

    @rule(what=st.sampled_from(ACCIDENTS))
    def accident(self, what: str) -> None:
        match what:
            case "lose deliveries":
                self.system.observer.execute("delete from procrastinate_jobs where status = 'todo'")
            case "deliver once more":
                self.system.commit(lambda connection: deliver(connection, UUID(int=0)))
            case "the clock is ahead for a moment":
                self.set_clock(30 * DAY)
                self.begin_to_expire()
                self.set_clock(-30 * DAY)
            case _:
                self.set_clock(JUMPS[what])
        for number in range(len(self.expected.jobs)):
            self.look(number, is_cancelling=False)

    # --- what must be true after each step ---------------------------------------------------------------------------

    @invariant()
    def everything_is_as_expected(self) -> None:
        self.system.check(self.expected.jobs)
        self.expected.check_endings()

    def teardown(self) -> None:
        """All workers freeze and come back too late, then all crash. Each job still ends; only results stay stored."""
        if sys.exc_info()[0] is not None:
            return
        late = [*self.runs, *self.over[-2:]]
        for _ in range(3):
            self.hire()
        self.wait(LAPSE, "the sweep and others")
        for run in late:
            self.report(run)
            for end in ("give back", *FAILURES, "publish"):
                self.end(run, end)
        self.idle, self.runs = [], []
        self.hire()
        for _ in range(10 * RULES.max_attempts):
            if not any(job.is_unfinished for job in self.expected.jobs.values()):
                break
            self.wait(LAPSE, "the sweep")
            while self.expected.next_job() is not None and self.any_run(0):
                self.finish(0, "publish")
        self.everything_is_as_expected()
        assert not any(job.is_unfinished for job in self.expected.jobs.values())
        self.let_pass(3 * HOUR)
        self.collect(is_confirmed=True)
        assert len(self.system.files()) == 4 * sum(job.status is Status.COMPLETE for job in self.expected.jobs.values())
