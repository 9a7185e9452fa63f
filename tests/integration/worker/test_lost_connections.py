"""Connections break at the worst moments: the drawing is not lost, and the job has four images, never eight."""

from __future__ import annotations

import asyncio

import psycopg

from onbrand.jobs import attempts
from tests.integration.worker.harness import WorkerHarness, until
from tests.packs import SAMPLE

OF_WORKER = "from pg_stat_activity where application_name = 'onbrand worker' and datname = current_database()"


async def test_a_drawing_survives_that_the_worker_loses_its_connections_again_and_again(harness: WorkerHarness) -> None:
    async with harness.worker() as worker:
        job_id = await harness.submit("slow")
        await harness.drawing(job_id)
        for _ in range(6):
            await harness.query(f"select pg_terminate_backend(pid) {OF_WORKER}")
            await asyncio.sleep(0.2)  # the time between two kills
        await harness.ended(job_id)
        following = await harness.submit()  # the connection that listens for deliveries was cut, too
        await harness.ended(following)
        assert not worker.working.done()
    await harness.check_result(job_id, attempt=1)
    await harness.check_result(following, attempt=1)
    assert harness.notes.count("load") == 1


async def test_a_connection_that_breaks_while_publishing_leaves_four_images_and_not_eight(
    harness: WorkerHarness,
) -> None:
    async with harness.worker(), await psycopg.AsyncConnection.connect(harness.database_url) as connection:
        await connection.execute("lock table image in exclusive mode")
        job_id = await harness.submit()

        async def is_publishing() -> bool:
            return bool(await harness.query(f"select pid {OF_WORKER} and wait_event_type = 'Lock'"))

        await until(is_publishing)  # the job's row is changed, the images' rows come next
        await harness.query(f"select pg_terminate_backend(pid) {OF_WORKER} and wait_event_type = 'Lock'")
        await connection.rollback()
        await harness.ended(job_id)
    await harness.check_result(job_id, attempt=1)
    assert harness.notes.count(f"draw {job_id}") == 1


async def test_a_claim_that_a_worker_never_heard_of_is_drawn_at_its_next_turn(harness: WorkerHarness) -> None:
    job_id = await harness.submit()
    async with harness.database.transaction() as connection:
        assert await attempts.claim(connection, job_id, "worker", pack=SAMPLE.pack, lease_seconds=45)
    async with harness.runner("worker") as runner:
        await runner.run_next_job()
    await harness.check_result(job_id, attempt=2)
