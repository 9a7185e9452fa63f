"""Checks of what is in the database: the schema, the jobs, the workers and the maintenance.

Each verdict is a function of what `database.diagnostics` and `jobs.metrics` read. docs/operations.md says in more
detail what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onbrand.budget.governor import Standing
from onbrand.config import Environment, Settings
from onbrand.database.diagnostics import Endings, Missing
from onbrand.doctor.report import Findings, Verdict, ok, problem, warning
from onbrand.jobs.metrics import Figures
from onbrand.jobs.workers import RefusedPack
from onbrand.packs.promotion import SignOff, TakenBack, short
from onbrand.packs.promotion import Verdict as PackVerdict

_UNREAD_SECONDS = 8 * 86400.0  # each image is read within seven days
LAPSED_SECONDS = 60.0  # long enough for several sweeps
JOBS_NAMED = 5  # of those with missing images
_LONG_WAIT_SECONDS = 600.0
_NO_WORKER_SECONDS = 120.0  # with scale-to-zero the first worker is only just starting
_SWEEP_SECONDS = 60.0
_DELETION_SECONDS = 900.0
_COMPARISON_SECONDS = 24 * 3600.0


def schema(found: int | None, needed: int) -> Verdict:
    """Whether the schema is this version's. A newer one works too: migrations keep the version before them working."""
    if found is None:
        return problem(
            "The database has no tables of Onbrand.", "Run `onbrand migrate`. `onbrand up` does that itself."
        )
    if found < needed:
        return problem(
            f"The schema is older than this version (step {found} of {needed}).",
            "Run `onbrand migrate`, then start the new version.",
        )
    if found > needed:
        return warning(
            f"The schema is newer than this version (step {found}, this version knows {needed}).",
            "An upgrade is not finished, or was undone: finish it.",
        )
    return ok(f"The schema is this version's (step {found}).")


def rights(forbidden: Sequence[str]) -> Verdict:
    """Whether the role has the rights that our statements need."""
    if not forbidden:
        return ok("The role may use all tables.")
    return problem(
        f"The role may not use {', '.join(forbidden)}.",
        "Grant the role select, insert, update and delete on them (usage on sequences), or let it own the schema.",
    )


def budget(found: Standing | None, *, is_scaler_missing: bool) -> Verdict:
    """Whether GPUs may be started: by the month's money, because starts succeed, and because the scaler may look."""
    if found is None:
        return ok("No budget is set: GPUs may cost anything.")
    spent = f"${found.spent_usd:.2f} of ${found.plan.gpu_usd:.2f} for GPUs are spent in this month"
    if found.closed_until is not None:
        return problem(
            f"Three GPUs in a row were started and did not become ready; none is started before"
            f" {found.closed_until:%H:%M} (UTC). {spent}.",
            "Look at the worker's log: weights, brand pack, or a GPU that the platform does not have.",
        )
    if is_scaler_missing:
        return problem(
            "There is no role onbrand_scaler that may read keda_gpu_demand, so nothing starts a GPU.",
            "Set ONBRAND_SCALER_PASSWORD and run `onbrand migrate`.",
        )
    if found.is_spent:
        return warning(f"{spent}: nothing is accepted before {found.opens_at:%-d %B}.", "Raise the budget, or wait.")
    if found.is_low:
        return warning(f"{spent}.", "`onbrand budget` says how long the rest lasts.")
    return ok(f"{spent}.")


def workers(figures: Figures) -> Verdict:
    """Whether a worker is ready. Having none is a problem only if jobs wait."""
    ready, loading = figures.workers["ready"], figures.workers["loading"]
    if ready:
        return ok(f"{ready} ready" + (f", {loading} loading the model." if loading else "."))
    if loading:
        return warning(f"{loading} loading the model, none ready.", "Wait. If it stays so, check the worker's log.")
    if figures.oldest_waiting > _NO_WORKER_SECONDS:
        return problem("No worker is alive, and jobs wait.", "Start `onbrand worker`, or find out why none is started.")
    return warning("No worker is alive.", "With scale-to-zero that is normal while no job waits.")


def pack(refused: Iterable[RefusedPack]) -> Verdict:
    """Whether workers draw with another pack than they should, because they can't use it."""
    for one in refused:
        who = "A live worker" if one.workers == 1 else f"{one.workers} live workers"
        return problem(
            f"{who} can't use the brand pack {short(one.pack_id)}; people still get the one before. {one.because}",
            "Repair it, then wait (workers try again after a minute, then after longer and longer pauses), or run"
            " `onbrand pack rollback`.",
        )
    return ok("No worker refuses the live brand pack.")


def waiting(figures: Figures) -> Verdict:
    """How many jobs wait, and for how long."""
    drawn = f"{figures.processing} are being drawn."
    if not figures.queued:
        return ok(f"No job waits; {drawn}")
    says = f"{figures.queued} jobs wait, the first for {_for_people(figures.oldest_waiting)}; {drawn}"
    if figures.oldest_waiting > _LONG_WAIT_SECONDS:
        return warning(says, "Start more workers, or find out why the running ones are slow.")
    return ok(says)


def leases(lapsed: int) -> Verdict:
    """Whether expired leases are dealt with. The sweep does that; an old expired lease means that no sweep runs."""
    if not lapsed:
        return ok("No job is stuck.")
    return problem(
        f"{lapsed} jobs have lost their worker and were not queued again.",
        "The API queues such jobs every five seconds: start it, or look for sweep_failed in its log.",
    )


def deliveries(queued: int, delivered: int) -> Verdict:
    """Whether each waiting job has a delivery. Any delivery serves any job, so only the number matters."""
    if delivered >= queued:
        return ok(f"{delivered} deliveries for {queued} waiting jobs.")
    return warning(
        f"Only {delivered} deliveries for {queued} waiting jobs.",
        "The API's sweep creates the others within seconds. Check again. If it stays so, check the API's log.",
    )


def failures(endings: Endings) -> Verdict:
    """How many jobs failed, and why. Cancelled jobs are not counted."""
    failed = sum(endings.failed.values())
    if not failed:
        return ok(f"{endings.complete} are complete, none failed.")
    reasons = ", ".join(f"{code} {jobs}" for code, jobs in endings.failed.items())
    return warning(
        f"{endings.complete} are complete, {failed} failed: {reasons}.", "docs/operations.md says what to do for each."
    )


def upkeep(figures: Figures) -> Findings:
    """`sweep`, `deletion` and `comparison`: the API does all three at intervals, and must have done so recently."""
    since, unfinished = figures.since_upkeep, figures.queued + figures.processing > 0
    return {
        "sweep": _sweep(since.get("sweep"), unfinished),
        "deletion": _deletion(since.get("expiry"), figures.retention_held),
        "comparison": _comparison(since.get("collection"), figures.collection_held),
    }


def _sweep(seconds: float | None, unfinished: bool) -> Verdict:
    if seconds is not None and seconds <= _SWEEP_SECONDS:
        return ok(f"The last sweep was {_for_people(seconds)} ago.")
    ago = "yet" if seconds is None else f"for {_for_people(seconds)}"
    if unfinished:
        return problem(
            f"Nobody has looked for lost jobs {ago}, and jobs are unfinished.",
            "Start `onbrand api`: it looks every five seconds.",
        )
    return warning(f"Nobody has looked for lost jobs {ago}.", "No API runs on this database; start `onbrand api`.")


def _deletion(seconds: float | None, held_seconds: float) -> Verdict:
    if held_seconds:
        return problem(
            f"Deletion has been held back for {_for_people(held_seconds)}: more than half of all jobs are due.",
            "Check the database's clock, and whether this is the right database. After 12 hours these jobs are deleted."
            " `onbrand clean --confirm` deletes them now.",
        )
    if seconds is None:
        return ok("Nobody has looked for expired jobs yet.")
    says = f"Expired jobs were last looked for {_for_people(seconds)} ago."
    if seconds > _DELETION_SECONDS:
        return warning(says, "The API looks every minute: start it, or look for store_lost in its log.")
    return ok(says)


def _comparison(seconds: float | None, held_seconds: float) -> Verdict:
    if held_seconds:
        return problem(
            f"For {_for_people(held_seconds)} more than a tenth of the stored images have belonged to no job here.",
            "Check that database and image store belong together. None of these images is deleted. If you know that"
            " nobody needs them, `onbrand clean --confirm` deletes them.",
        )
    if seconds is None:
        return ok("The rows and the stored images were not compared yet.")
    says = f"The rows and the stored images were last compared {_for_people(seconds)} ago."
    if seconds > _COMPARISON_SECONDS:
        return warning(says, "The API compares them every six hours: start it, or run `onbrand clean`.")
    return ok(says)


def overdue(jobs: int) -> Verdict:
    """Whether jobs exist that should have been deleted a day ago: people were promised that they are deleted."""
    if not jobs:
        return ok("Nothing is overdue.")
    return problem(
        f"{jobs} jobs should have been deleted a day ago.",
        "Nobody can open them any more, but they still exist. Check the image store, then run `onbrand clean`.",
    )


def missing_images(missing: Missing) -> Verdict:
    """Whether the store has lost images of complete jobs."""
    if not missing.images:
        return ok("No image is known to be missing.")
    named = ", ".join(str(job_id) for job_id in missing.jobs)
    return problem(
        f"{missing.images} images are missing, of these jobs among others: {named}.",
        "Restore them from a backup of the store under the same keys. Then run `onbrand clean`, which looks again.",
    )


def damaged_images(damaged: Missing, unread_seconds: float) -> Verdict:
    """Pictures whose bytes have changed in the store, and whether all are looked at often enough to know."""
    if damaged.images:
        named = ", ".join(str(job_id) for job_id in damaged.jobs)
        return problem(
            f"{damaged.images} images are damaged or gone, of these jobs among others: {named}.",
            "Restore them from a backup of the store under the same keys; `onbrand clean --read` looks again. If it"
            " repeats, check the disk.",
        )
    if unread_seconds > _UNREAD_SECONDS:
        return warning(
            f"A stored image was last read {unread_seconds / 86400:.0f} days ago.",
            "An API process that runs all the time reads each within a week. `onbrand clean --read` reads all now.",
        )
    return ok("None is known to be damaged, and each was read within a week.")


def retention(settings: Settings) -> Verdict:
    """How long jobs are kept. How long backups are kept cannot be seen in the database."""
    return ok(
        f"Jobs are kept for {settings.retention_hours} hours after they ended.",
        "Backups of the database contain prompts for as long as you keep them. Count that into what you promise.",
    )


def _for_people(seconds: float) -> str:
    if seconds < 100:
        return f"{max(0, round(seconds))} seconds"
    if seconds < 6000:
        return f"{round(seconds / 60)} minutes"
    return f"{round(seconds / 3600)} hours"


def review(live: str | None, signed: SignOff | None, env: Environment, taken_back: TakenBack | None) -> Verdict:
    """Whether a designer has approved the pack that is live. `live` is None if no pack was promoted yet.

    `taken_back` is the pack that was live before, if a designer rejected it and nothing was promoted since.
    """
    if taken_back is not None:
        return warning(
            f"{taken_back.by} rejected {taken_back.name}, version {taken_back.version}, on {taken_back.at:%Y-%m-%d}, so"
            " the pack before it is live again.",
            "`onbrand review show ID` says what to change. Promoting a pack ends this notice.",
        )
    which = (
        f"the brand pack {short(live)}" if live else "the pack that is bundled with the model (no other was promoted)"
    )
    if signed is not None and signed.verdict is PackVerdict.APPROVED:
        return ok(f"{signed.reviewer} has approved {which}.")
    if signed is not None:
        return warning(
            f"{signed.reviewer} has rejected {which}, and there was no pack before it to go back to.",
            "Promote another pack; `onbrand review show ID` says what to change in this one.",
        )
    says = f"No designer has approved {which}; the page says so."
    if env is not Environment.PRODUCTION:
        return ok(says)
    return warning(says, "Open a review with `onbrand review open ID` before people rely on the style.")
