"""Checks of what is in the database: the schema, the jobs, who draws them, and the upkeep.

The verdicts are functions of what `condition` read; what to do at length is in docs/operations.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from onbrand.config import Environment, Settings
from onbrand.database.diagnostics import Endings, Missing
from onbrand.doctor.report import Findings, Verdict, ok, problem, warning
from onbrand.jobs.metrics import Figures
from onbrand.packs.promotion import SignOff, short
from onbrand.packs.promotion import Verdict as PackVerdict

LAPSED_SECONDS = 60.0  # several sweeps
JOBS_NAMED = 5
_LONG_WAIT_SECONDS = 600.0
_NO_WORKER_SECONDS = 120.0  # with scale-to-zero the first worker is only just starting
_SWEEP_SECONDS = 60.0
_DELETION_SECONDS = 900.0
_COMPARISON_SECONDS = 24 * 3600.0


def schema(found: int | None, needed: int) -> Verdict:
    """A newer schema is fine: changes are made so that the version before them still works."""
    if found is None:
        return problem("The database has no tables of Onbrand.", "Run `onbrand migrate`; `onbrand up` does it itself.")
    if found < needed:
        return problem(
            f"The schema is older than this version (step {found} of {needed}).",
            "Run `onbrand migrate`, then start the new version.",
        )
    if found > needed:
        return warning(
            f"The schema is newer than this version (step {found}, this knows {needed}).",
            "An upgrade is on its way, or was undone: finish it.",
        )
    return ok(f"The schema is this version's (step {found}).")


def rights(forbidden: Sequence[str]) -> Verdict:
    """Whether the role may do to our tables what our statements do."""
    if not forbidden:
        return ok("The role may use all tables.")
    return problem(
        f"The role may not use {', '.join(forbidden)}.",
        "Grant it select, insert, update and delete on them (usage on sequences), or let it own the schema.",
    )


def workers(figures: Figures) -> Verdict:
    """Nobody alive is a problem only if somebody waits."""
    ready, loading = figures.workers["ready"], figures.workers["loading"]
    if ready:
        return ok(f"{ready} ready" + (f", {loading} loading the model." if loading else "."))
    if loading:
        return warning(f"{loading} loading the model, none ready.", "Wait; if it stays, look at the worker's log.")
    if figures.oldest_waiting > _NO_WORKER_SECONDS:
        return problem("No worker is alive, and jobs wait.", "Start `onbrand worker`, or look why none is started.")
    return warning("No worker is alive.", "With scale-to-zero that is normal while nothing waits.")


def waiting(figures: Figures) -> Verdict:
    """How many wait, and for how long."""
    drawn = f"{figures.processing} are being drawn."
    if not figures.queued:
        return ok(f"No job waits; {drawn}")
    says = f"{figures.queued} jobs wait, the first for {_for_people(figures.oldest_waiting)}; {drawn}"
    if figures.oldest_waiting > _LONG_WAIT_SECONDS:
        return warning(says, "Start more workers, or look why the ones there are slow.")
    return ok(says)


def leases(lapsed: int) -> Verdict:
    """A lapsed lease is the sweep's business; one that stays lapsed means that nobody sweeps."""
    if not lapsed:
        return ok("No job is stuck.")
    return problem(
        f"{lapsed} jobs have lost their worker and were not queued again.",
        "The API does that every five seconds: start it, or look for sweep_failed in its log.",
    )


def deliveries(queued: int, delivered: int) -> Verdict:
    """Any delivery serves any job, so only their number matters; the sweep makes up for lost ones in seconds."""
    if delivered >= queued:
        return ok(f"{delivered} deliveries for {queued} waiting jobs.")
    return warning(
        f"Only {delivered} deliveries for {queued} waiting jobs.",
        "The API's sweep makes the others again within seconds; look again, and if it stays, at the API's log.",
    )


def failures(endings: Endings) -> Verdict:
    """Why jobs failed. Cancelled ones don't count."""
    failed = sum(endings.failed.values())
    if not failed:
        return ok(f"{endings.complete} are complete, none failed.")
    reasons = ", ".join(f"{code} {jobs}" for code, jobs in endings.failed.items())
    return warning(
        f"{endings.complete} are complete, {failed} failed: {reasons}.", "docs/operations.md says what to do for each."
    )


def upkeep(figures: Figures) -> Findings:
    """`sweep`, `deletion` and `comparison`: the API does all three, and must have done so lately."""
    since, unfinished = figures.since_upkeep, figures.queued + figures.processing > 0
    return {
        "sweep": _sweep(since.get("sweep"), unfinished),
        "deletion": _deletion(since.get("expiry"), figures.retention_held),
        "comparison": _comparison(since.get("collection"), figures.collection_held),
    }


def _sweep(seconds: float | None, unfinished: bool) -> Verdict:
    if seconds is not None and seconds <= _SWEEP_SECONDS:
        return ok(f"Last looked for lost work {_for_people(seconds)} ago.")
    ago = "yet" if seconds is None else f"for {_for_people(seconds)}"
    if unfinished:
        return problem(
            f"Nobody has looked for lost work {ago}, and jobs are unfinished.",
            "Start `onbrand api`: it looks every five seconds.",
        )
    return warning(f"Nobody has looked for lost work {ago}.", "No API runs on this database; start `onbrand api`.")


def _deletion(seconds: float | None, held_seconds: float) -> Verdict:
    if held_seconds:
        return problem(
            f"Deletion has been held back for {_for_people(held_seconds)}: more than half of all jobs are due.",
            "Is the database's clock right, and is this the right database? After 12 hours they are deleted;"
            " `onbrand clean --confirm` does it now.",
        )
    if seconds is None:
        return ok("Nobody has looked yet for what is due.")
    says = f"Last looked for what is due {_for_people(seconds)} ago."
    if seconds > _DELETION_SECONDS:
        return warning(says, "The API does it every minute: start it, or look for store_lost in its log.")
    return ok(says)


def _comparison(seconds: float | None, held_seconds: float) -> Verdict:
    if held_seconds:
        return problem(
            f"For {_for_people(held_seconds)} more than a tenth of the stored images have belonged to no job here.",
            "Do database and image store belong together? None of those images is deleted; once you know that they"
            " are nobody's, `onbrand clean --confirm` does it.",
        )
    if seconds is None:
        return ok("Rows and stored images were not compared yet.")
    says = f"Rows and stored images were last compared {_for_people(seconds)} ago."
    if seconds > _COMPARISON_SECONDS:
        return warning(says, "The API does it every six hours: start it, or run `onbrand clean`.")
    return ok(says)


def overdue(jobs: int) -> Verdict:
    """People were promised that their images are gone within a day."""
    if not jobs:
        return ok("Nothing is overdue.")
    return problem(
        f"{jobs} jobs should have been deleted a day ago.",
        "They can't be reached any more, but are still there: look at the image store, then run `onbrand clean`.",
    )


def missing_images(missing: Missing) -> Verdict:
    """Pictures that people were promised and that the store has lost."""
    if not missing.images:
        return ok("None is known to be missing.")
    named = ", ".join(str(job_id) for job_id in missing.jobs)
    return problem(
        f"{missing.images} images are missing, of these jobs among others: {named}.",
        "Restore them from a backup of the store under the same keys; `onbrand clean` looks again.",
    )


def retention(settings: Settings) -> Verdict:
    """What no look at this database can tell: how long its backups are kept."""
    return ok(
        f"Jobs are kept for {settings.retention_hours} hours after they ended.",
        "Backups of the database hold prompts for as long as you keep the backups: count that into what you promise.",
    )


def _for_people(seconds: float) -> str:
    if seconds < 100:
        return f"{max(0, round(seconds))} seconds"
    if seconds < 6000:
        return f"{round(seconds / 60)} minutes"
    return f"{round(seconds / 3600)} hours"


def review(live: str | None, signed: SignOff | None, env: Environment) -> Verdict:
    """What a designer says of the pack that is live; without one, nothing was promoted yet."""
    which = f"the brand pack {short(live)}" if live else "the pack that comes with the model, for none was promoted"
    if signed is not None and signed.verdict is PackVerdict.APPROVED:
        return ok(f"{signed.reviewer} has approved {which}.")
    says = f"No designer has approved {which}; the page says so."
    if env is not Environment.PRODUCTION:
        return ok(says)
    return warning(says, "Have a designer approve the style before people rely on it.")
