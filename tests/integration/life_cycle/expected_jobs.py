"""What each job's row must say at this moment, computed without SQL. Times are seconds of the database's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from onbrand.errors import (
    Cancelled,
    DeadlinePassed,
    IdempotencyKeyReused,
    JobFailure,
    NoCapacity,
    QueueFull,
    TooManyQueued,
    TooManySubmitted,
    WorkerLost,
)
from onbrand.jobs.limits import Limits
from onbrand.jobs.models import Claim, Owner, Progress, Status
from tests.rules import RULES

HOUR, DAY = 3600, 86400
LEASE = 45
LIMITS = Limits(unfinished_per_user=2, submitted_per_minute=3, waiting=3)  # small, so that a walk reaches them
_GRACE_SECONDS = 2 * HOUR  # younger images are never deleted by a comparison
_STALE_SECONDS = 600  # then another process takes over a deletion that was begun
_DELIVERY_SECONDS = 10


@dataclass
class ExpectedJob:
    """What a job's row must say."""

    id: UUID
    owner: Owner
    idempotency_key: str | None
    prompt: str
    created_at: int
    queued_at: int
    status: Status = Status.QUEUED
    attempt: int = 0
    tries: int = 0
    percent: int = 0
    worker_id: str | None = None
    lease_until: int | None = None
    started_at: int | None = None
    first_started_at: int | None = None
    completed_at: int | None = None
    expires_at: int | None = None
    expiring_at: int | None = None
    error_code: str | None = None
    result_attempt: int | None = None

    @property
    def is_unfinished(self) -> bool:
        return self.status in (Status.QUEUED, Status.PROCESSING)


@dataclass
class ExpectedJobs:
    """All jobs as they must be, and what each action must return."""

    now: int = 0
    jobs: dict[UUID, ExpectedJob] = field(default_factory=dict)
    gone: dict[UUID, ExpectedJob] = field(default_factory=dict)
    _endings: dict[UUID, tuple[object, ...]] = field(default_factory=dict)

    # People

    def answer(self, owner: Owner, key: str | None, prompt: str) -> ExpectedJob | type[Exception] | None:
        """What a submission must return: an earlier job, the class of an error, or None for a new job."""
        theirs = [job for job in self.jobs.values() if job.owner == owner]
        for job in theirs:
            if key is not None and job.idempotency_key == key and not self.is_expired(job):
                return job if job.prompt == prompt else IdempotencyKeyReused
        if sum(job.is_unfinished for job in theirs) >= LIMITS.unfinished_per_user:
            return TooManyQueued
        if sum(self.now - 60 < job.created_at <= self.now for job in theirs) >= LIMITS.submitted_per_minute:
            return TooManySubmitted
        return QueueFull if len(self._in(Status.QUEUED)) >= LIMITS.waiting else None

    def add(self, job_id: UUID, owner: Owner, key: str | None, prompt: str) -> None:
        for job in self.jobs.values():  # the key of an expired job may be used again
            if job.owner == owner and job.idempotency_key == key:
                job.idempotency_key = None
        self.jobs[job_id] = ExpectedJob(job_id, owner, key, prompt, self.now, self.now)

    def cancel(self, job_id: UUID) -> None:
        if (job := self.jobs.get(job_id)) is not None and job.is_unfinished:
            self._fail(job, Cancelled)

    def is_expired(self, job: ExpectedJob) -> bool:
        return job.expiring_at is not None or (job.expires_at is not None and job.expires_at <= self.now)

    def check_endings(self) -> None:
        """A job that has ended does not change any more."""
        for job in self.jobs.values():
            if not job.is_unfinished:
                ending = (job.status, job.error_code, job.result_attempt, job.completed_at, job.attempt)
                assert self._endings.setdefault(job.id, ending) == ending

    # Workers

    def next_job(self) -> ExpectedJob | None:
        """Interrupted jobs first, then the person served longest ago; each person's jobs in the order of submission."""
        firsts: dict[Owner, ExpectedJob] = {}
        waiting = sorted(self._in(Status.QUEUED), key=lambda job: (job.created_at, job.id))
        for job in waiting:
            firsts.setdefault(job.owner, job)

        def place(job: ExpectedJob) -> tuple[float, int, int, UUID]:
            served = (other.started_at for other in self.jobs.values() if other.owner == job.owner)
            latest = max((at for at in served if at is not None), default=float("-inf"))
            return latest, firsts[job.owner].created_at, job.created_at, job.id

        interrupted = [job for job in waiting if job.first_started_at is not None]
        return min(interrupted or firsts.values(), key=place, default=None)

    def drop_lost_claims(self, worker_id: str) -> None:
        for job in self._in(Status.PROCESSING):
            if job.worker_id == worker_id and job.percent == 0:
                self._requeue(job)
                job.tries -= 1
            elif job.worker_id == worker_id:
                self._requeue_or_fail(job)

    def claim(self, job: ExpectedJob, worker_id: str) -> None:
        job.status, job.worker_id, job.percent = Status.PROCESSING, worker_id, 0
        job.attempt, job.tries = job.attempt + 1, job.tries + 1
        job.started_at, job.lease_until = self.now, self.now + LEASE
        job.first_started_at = self.now if job.first_started_at is None else job.first_started_at

    def held(self, claim: Claim) -> ExpectedJob | None:
        """The job, if the attempt is still its running one."""
        job = self.jobs.get(claim.job_id)
        return job if job and (job.status, job.attempt) == (Status.PROCESSING, claim.attempt) else None

    def progress(self, claim: Claim, progress: Progress) -> bool:
        if (job := self.held(claim)) is None:
            return False
        job.percent, job.lease_until = max(job.percent, progress.percent), self.now + LEASE
        return True

    def publish(self, claim: Claim) -> bool:
        """Whether the attempt is the result, because of this call or an earlier one."""
        if (job := self.held(claim)) is None:
            job = self.jobs.get(claim.job_id)
            return job is not None and job.result_attempt == claim.attempt
        job.status, job.percent, job.result_attempt = Status.COMPLETE, 100, claim.attempt
        self._end(job)
        return True

    def fail_attempt(self, claim: Claim, failure: type[JobFailure]) -> Status | None:
        if (job := self.held(claim)) is None:
            return None
        if self._is_late(job):
            self._fail(job, DeadlinePassed)
        elif job.tries < RULES.max_attempts:
            self._requeue(job)
        else:
            self._fail(job, failure)
        return job.status

    def give_back(self, claim: Claim) -> bool:
        if (job := self.held(claim)) is None:
            return False
        self._requeue(job)
        job.tries -= 1
        return True

    # Maintenance

    @property
    def waiting(self) -> int:
        """The number of queued jobs."""
        return len(self._in(Status.QUEUED))

    def sweep(self) -> tuple[set[UUID], dict[UUID, str]]:
        """Which jobs are queued again, and which fail, with the reason's code."""
        requeued, failed = set(), {}
        for job in self._in(Status.QUEUED, Status.PROCESSING):
            self._count_from_now(job)
            if self._is_late(job):
                self._fail(job, DeadlinePassed)
            elif job.status is Status.QUEUED:
                if job.queued_at + RULES.max_waiting_seconds < self.now:
                    self._fail(job, DeadlinePassed if job.started_at is not None else NoCapacity)
            elif job.lease_until is not None and job.lease_until < self.now:
                self._requeue_or_fail(job)
                requeued |= {job.id} if job.is_unfinished else set()
            if job.error_code is not None:
                failed[job.id] = job.error_code
        return requeued, failed

    def lacking_deliveries(self, waiting: int) -> int:
        """How many deliveries the sweep must make when `waiting` deliveries wait."""
        return max(0, sum(job.queued_at < self.now - _DELIVERY_SECONDS for job in self._in(Status.QUEUED)) - waiting)

    def expire(self, is_interrupted: bool) -> set[UUID]:
        """Which jobs are deleted: those that are due, and those whose deletion was begun and not ended."""
        due = set()
        for job in [*self.jobs.values()]:
            if job.expiring_at is None:
                is_due = self.is_expired(job)
            else:
                is_due = not self.now - _STALE_SECONDS <= job.expiring_at <= self.now
            if is_due:
                due.add(job.id)
                job.expiring_at = self.now
                if not is_interrupted:
                    self.gone[job.id] = self.jobs.pop(job.id)
        return due

    def orphans(self, ages: Mapping[Path, float], is_confirmed: bool) -> set[Path]:
        """The images that may be deleted: old ones that are not a result and cannot become one."""
        found = set()
        for path, age in ages.items():
            job, attempt = self.jobs.get(UUID(path.parts[-3])), int(path.parts[-2])
            kept = job and (job.attempt if job.is_unfinished else job.result_attempt)
            if age > _GRACE_SECONDS and kept != attempt:
                found.add(path)
        without_job = [path for path in found if UUID(path.parts[-3]) not in self.jobs]
        return found if is_confirmed or len(without_job) <= 0.1 * len(ages) else set()

    def _in(self, *statuses: Status) -> list[ExpectedJob]:
        return [job for job in self.jobs.values() if job.status in statuses]

    def _is_late(self, job: ExpectedJob) -> bool:
        return job.first_started_at is not None and job.first_started_at + RULES.deadline_seconds < self.now

    def _count_from_now(self, job: ExpectedJob) -> None:
        """After the clock was set back: times in the future become now."""
        job.queued_at = min(job.queued_at, self.now)
        if job.started_at is not None and job.first_started_at is not None and job.started_at > self.now:
            job.started_at, job.first_started_at = self.now, min(job.first_started_at, self.now)
            job.lease_until = job.lease_until and min(job.lease_until, self.now + 60)

    def _requeue(self, job: ExpectedJob) -> None:
        job.status, job.percent, job.worker_id, job.lease_until = Status.QUEUED, 0, None, None
        job.queued_at = self.now

    def _requeue_or_fail(self, job: ExpectedJob) -> None:
        if job.tries < RULES.max_attempts:
            self._requeue(job)
        else:
            self._fail(job, WorkerLost)

    def _fail(self, job: ExpectedJob, failure: type[JobFailure]) -> None:
        job.status, job.error_code = Status.FAILED, failure.code
        self._end(job)

    def _end(self, job: ExpectedJob) -> None:
        job.lease_until, job.completed_at = None, self.now
        job.expires_at = self.now + RULES.retention_hours * HOUR
