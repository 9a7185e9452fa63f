"""`onbrand doctor` on jobs that are stuck, failed or overdue, and on missing images."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from onbrand.database import scaler
from onbrand.database.pool import Database
from onbrand.jobs import attempts, service
from onbrand.jobs.models import Owner, Pack, StoredImage
from tests.integration.doctor.reports import CANARY, examined, execute, production
from tests.rules import LIMITS


async def complete_job(url: str) -> UUID:
    database = Database(url, application_name="test", max_connections=1)
    await database.open()
    try:
        async with database.transaction() as connection:
            owner = Owner(uuid4(), uuid4())
            submitted = await service.submit(connection, owner, CANARY, idempotency_key=None, limits=LIMITS)
            pack = Pack("a" * 64, "Sample brand", "1")
            held = await attempts.claim(connection, submitted.job_id, "worker", pack=pack, lease_seconds=45)
            assert held is not None
            images = [StoredImage(n, "0" * 64, 1) for n in (1, 2, 3, 4)]
            assert await attempts.publish(connection, held, images, prompt_ignored=0, retention_hours=720)
        return held.job_id
    finally:
        await database.close()


def test_missing_images_and_a_held_deletion_are_problems(chosen: dict[str, str], database_url: str) -> None:
    job_id = asyncio.run(complete_job(database_url))
    execute(database_url, "update image set missing_since = now() where n > 1")
    execute(database_url, "update upkeep set retention_held_since = now() - interval '3 hours', swept_at = now()")
    execute(database_url, "update job set expires_at = now() - interval '25 hours'")
    told = examined(chosen)
    assert (told.healthy, told.problems()) == (False, ["deletion", "overdue", "missing_images"])
    assert f"3 images are missing, of these jobs among others: {job_id}" in told.says("missing_images")
    assert "held back for 3 hours" in told.says("deletion")


def test_a_pack_that_workers_refuse_is_a_problem_and_says_why(chosen: dict[str, str], database_url: str) -> None:
    assert examined(chosen).state("pack") == "ok"
    for name in ("one", "two"):
        execute(
            database_url,
            "insert into worker (id, state, pack_id, pack_name, pack_version, refused_pack_id, refused_because)"
            " values (%s, 'ready', %s, 'Brand', '1', %s, 'The LoRA is empty: copy it again.')",
            name,
            "a" * 64,
            "b" * 64,
        )
    told = examined(chosen)
    assert told.problems() == ["pack"]
    assert told.says("pack").startswith(
        "2 live workers can't use the brand pack bbbbbbbbbbbb; people still get the one before. The LoRA is empty: copy"
        " it again."
    )
    execute(database_url, "update worker set seen_at = now() - interval '1 minute'")
    assert examined(chosen).state("pack") == "ok"  # it is not known any more


@pytest.mark.parametrize(
    ("dollars", "closed", "state", "says"),
    [
        (2, "past", "ok", "$2.00 of $8.00 for GPUs are spent in this month."),
        (7, "past", "warning", "`onbrand budget` says how long the rest lasts."),
        (8, "past", "warning", "nothing is accepted before 1 "),
        (1, "later", "problem", "Three GPUs in a row were started and did not become ready"),
    ],
    ids=["open", "low", "spent", "starts failed"],
)
def test_the_month_s_money_and_failed_starts_are_told(
    chosen: dict[str, str], database_url: str, dollars: float, closed: str, state: str, says: str
) -> None:
    budget: dict[str, Any] = {"MONTHLY_BUDGET_USD": 10, "FIXED_USD_PER_MONTH": 2, "GPU_USD_PER_SECOND": 0.001}
    assert examined(chosen).says("budget").startswith("No budget is set")
    execute(
        database_url,
        "insert into gpu_life (worker_id, wanted_at, seen_at, ended_at, usd_per_second)"
        " values ('gone', now() - interval '2 s', now() - interval '1 s', now() - interval '1 s', %s)",
        dollars,
    )
    until = "now() + interval '5 minutes'" if closed == "later" else "'epoch'"
    execute(database_url, f"update gpu_demand set closed_until = {until}")
    told = examined(chosen, **budget)
    assert told.state("budget") == state
    assert says in told.says("budget")


def test_in_production_a_budget_needs_a_scaler_that_may_look(chosen: dict[str, str], database_url: str) -> None:
    budget: dict[str, Any] = {"MONTHLY_BUDGET_USD": 10, "FIXED_USD_PER_MONTH": 2, "GPU_USD_PER_SECOND": 0.001}
    settings = production(chosen) | budget
    told = examined(chosen, **settings)
    assert told.state("budget") == "problem"
    assert "Set ONBRAND_SCALER_PASSWORD and run `onbrand migrate`." in told.says("budget")
    scaler.set_password(database_url, "a password of the scaler")
    assert examined(chosen, **settings).state("budget") == "ok"


def test_stuck_waiting_and_failed_jobs_are_reported(chosen: dict[str, str], database_url: str) -> None:
    for _ in range(4):
        asyncio.run(complete_job(database_url))
    numbered = "(select id from job order by id offset %s limit 1)"
    running = "completed_at = null, expires_at = null, result_attempt = null, percent = 0"
    execute(
        database_url,
        f"update job set status = 'processing', {running}, worker_id = 'w', lease_until = now() - interval '2 minutes'"
        f" where id = {numbered}",
        0,
    )
    execute(
        database_url,
        f"update job set status = 'queued', {running}, created_at = now() - interval '20 minutes'"
        f" where id = {numbered}",
        1,
    )
    execute(
        database_url,
        f"update job set status = 'failed', error_code = 'timeout', result_attempt = null, percent = 0"
        f" where id = {numbered}",
        2,
    )
    execute(database_url, "delete from procrastinate_jobs")
    told = examined(chosen)
    assert told.problems() == ["workers", "leases", "sweep"]
    assert {told.state(check) for check in ("waiting", "deliveries", "failures")} == {"warning"}
    assert "1 are complete, 1 failed: timeout 1." in told.says("failures")
    assert "the first for 20 minutes" in told.says("waiting")
