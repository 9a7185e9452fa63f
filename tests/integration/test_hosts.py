"""Workers on several hosts with one database: work is shared, and a cable that is pulled loses and doubles nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from onbrand.jobs import workers
from tests.hosts import Studio, studio
from tests.system import wait_until


@pytest.fixture(scope="module", name="studio")
def _studio() -> Iterator[Studio]:
    with studio() as made:
        yield made


def test_jobs_are_drawn_on_both_hosts_by_workers_that_are_told_apart(studio: Studio) -> None:
    with studio.worker("host1") as one, studio.worker("host2") as other:
        job_ids = [studio.submit("slow") for _ in range(4)]
        for job_id in job_ids:
            studio.check_result(job_id, attempt=1)
            assert one.has_drawn(job_id) != other.has_drawn(job_id)
        assert one.notes.count("load") == other.notes.count("load") == 1
        assert any(map(one.has_drawn, job_ids))
        assert any(map(other.has_drawn, job_ids))
        rows = studio.database.execute("select distinct worker_id from job where id = any(%s)", [job_ids])
        ids = {row["worker_id"] for row in rows}
    # Both are process 1 on a host of the same name, as containers are.
    assert len(ids) == 2
    assert all(worker_id.startswith(workers.id_of(socket.gethostname(), 1)) for worker_id in ids)


def test_a_job_whose_host_is_cut_off_is_completed_by_another_and_the_first_works_on_when_it_is_back(
    studio: Studio,
) -> None:
    with studio.worker("host1", lease_seconds=3) as cut_off:
        job_id = studio.submit("once slow")
        studio.until_drawing(job_id)
        studio.network.pull_cable("host1")
        with studio.worker("host2") as other:
            studio.until_ended(job_id)
            assert other.has_drawn(job_id)
            wait_until(lambda: "1/4.png" in studio.stored(job_id), 30)  # and cannot be published
        studio.network.plug_in("host1")
        studio.check_result(job_id, attempt=2)  # what the first had stored is gone, by its own hand
        following = studio.submit("a teapot")
        studio.check_result(following, attempt=1)
        assert cut_off.has_drawn(following)
        assert cut_off.has_stayed()
        assert "worker_stale" in cut_off.actions


def test_a_host_that_is_back_before_its_lease_lapses_publishes_its_own_attempt(studio: Studio) -> None:
    with studio.worker("host1", lease_seconds=40) as cut_off:
        job_id = studio.submit("slow")
        studio.until_drawing(job_id)
        studio.network.pull_cable("host1")
        with studio.worker("host2"):
            wait_until(lambda: "1/4.png" in studio.stored(job_id), 30)  # drawn, and nobody can be told
            assert studio.job(job_id)["status"] == "processing"
            studio.network.plug_in("host1")
            studio.check_result(job_id, attempt=1)
        assert cut_off.notes.count(f"draw {job_id}") == 1
        assert cut_off.has_stayed()
        assert "database_lost" in cut_off.actions


def test_an_api_that_is_cut_off_from_the_database_says_so_in_time_and_recovers_by_itself(studio: Studio) -> None:
    assert studio.request("GET", "/me")[0] == 200
    studio.network.pull_cable("web")
    started = time.monotonic()
    status, _ = studio.request("POST", "/generate", {"prompt": "a teapot"})
    assert (status, time.monotonic() - started < 4.5) == (503, True)
    studio.network.plug_in("web")
    wait_until(lambda: studio.request("GET", "/me")[0] == 200, 15)
