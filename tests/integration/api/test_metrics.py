"""What Prometheus reads: correct numbers, no label that a caller can choose, an answer even without the database."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from onbrand.config import Environment, Settings
from onbrand.database.pool import Database
from onbrand.jobs import workers
from onbrand.jobs.metrics import STATEMENT
from tests.integration.api.service import PACK, Person, Service, assert_problem, running
from tests.system import free_port, wait_until

CANARY = "canary7f3a91"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
async def alone(database_url: str, make_settings: Callable[..., Settings]) -> AsyncIterator[Service]:
    """A service that nobody else uses, on a database of its own."""
    with running(make_settings(), database_url) as alone:
        yield alone


def samples_of(text: str) -> Samples:
    """Every sample by its name and its labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def figures(service: Service) -> Samples:
    async with service.client() as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples_of(answer.text)


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


async def test_requests_are_counted_by_the_template_of_their_route(alone: Service) -> None:
    async with alone.person() as person:
        for _ in range(3):
            await person.http.get(f"/jobs/{uuid4()}")
        await person.http.get(f"/jobs/{CANARY}")
        await person.http.post("/generate", json={"prompt": CANARY})
        await person.http.post("/generate", json={"prompt": ""})
        await person.http.get("/me")
        await person.http.request(CANARY, "/me")
        for path in (f"/{CANARY}", f"/jobs/{CANARY}/x", f"/me?{CANARY}=1", f"/jobs%2f{CANARY}"):
            await person.http.get(path, headers={"User-Agent": CANARY, "X-Request-Id": CANARY})
        samples = await figures(alone)
        requests = {
            (labels["method"], labels["route"], labels["status"]): count
            for (name, pairs), count in samples.items()
            if name == "onbrand_http_requests_total" and (labels := dict(pairs))
        }
        assert requests[("GET", "/jobs/{job_id}", "404")] == 4
        assert requests[("POST", "/generate", "202")] == requests[("POST", "/generate", "422")] == 1
        assert requests[("GET", "/me", "200")] == 2
        assert requests[("other", "/me", "405")] == 1
        assert requests[("GET", "none", "404")] == 3
        assert value(samples, "onbrand_http_problems_total", code="job_not_found") == 4
        assert value(samples, "onbrand_http_problems_total", code="prompt_blank") == 1
        assert value(samples, "onbrand_http_answer_seconds_count", route="/jobs/{job_id}") == 4
        assert value(samples, "onbrand_http_answer_seconds_bucket", route="/jobs/{job_id}", le="10.0") == 4
        for secret in (CANARY, person.token, str(person.owner.user_id)):
            assert secret not in str(samples)


async def test_what_anybody_sends_adds_no_series(alone: Service) -> None:
    async def series() -> set[str]:
        return {name + str(labels) for name, labels in await figures(alone) if name.startswith("onbrand_http")}

    async with alone.person() as person:

        async def ask(different: str) -> None:
            await person.http.request(f"M{different}", f"/p{different}")
            for path in (f"/jobs/{different}", f"/jobs/{uuid4()}/images/{different}", f"/{different}?{different}"):
                await person.http.get(path, headers={"Host": f"h{different}", "Origin": f"http://o{different}"})

        await ask("first")
        await figures(alone)
        before = await series()
        for n in range(20):
            await ask(str(n))
        assert await series() == before


async def test_open_streams_and_connections_are_seen(alone: Service) -> None:
    async with alone.person() as person:
        job_id = await person.submit()
        with ExitStack() as held:
            for _ in range(3):
                stream = held.enter_context(alone.connection())
                stream.sendall(person.head(line=f"GET /jobs/{job_id}/events HTTP/1.1"))
                assert stream.recv(12) == b"HTTP/1.1 200"
            held.enter_context(alone.connection())
            samples = await figures(alone)
            assert value(samples, "onbrand_http_requests_in_progress") == 4  # the three, and this one
            assert value(samples, "onbrand_http_connections") == 6  # and the silent one, and the person's
    assert value(samples, "process_open_fds") > 6
    assert value(samples, "process_resident_memory_bytes") > 10_000_000


async def test_jobs_workers_and_upkeep_are_as_the_database_says(alone: Service) -> None:
    await alone.execute("update upkeep set swept_at = null, expired_at = null, collected_at = null")
    samples = await figures(alone)
    assert value(samples, "onbrand_database_up") == 1
    assert value(samples, "onbrand_oldest_waiting_seconds") == 0
    assert ("onbrand_usual_seconds", ()) not in samples  # nothing was measured yet
    assert ("onbrand_upkeep_age_seconds", (("task", "collection"),)) not in samples
    async with alone.person() as person:
        await person.complete()
        cancelled = await person.submit()
        await person.http.delete(f"/jobs/{cancelled}")
        await alone.claim(await person.submit())
        for seconds in (60, 120):
            job_id = await person.submit()
            await alone.execute(
                "update job set created_at = now() - %s * interval '1 second' where id = %s", seconds, job_id
            )
    await alone.execute("insert into day_count values ('2026-01-01', 100, 20), ('2026-01-02', 1000, 200)")
    await alone.execute("update image set missing_since = now() where n < 3")
    await alone.execute(
        "update upkeep set swept_at = now() - interval '1 hour', expired_at = now() - interval '2 hours',"
        " collected_at = now() - interval '3 hours', retention_held_since = now() - interval '4 hours',"
        " collection_held_since = now() - interval '5 hours'"
    )
    async with alone.transaction() as connection:
        await workers.announce(connection, "a", "loading", PACK)
        await workers.announce(connection, "b", "ready", PACK)
        refused = workers.RefusedPack("b" * 64, "It is damaged.")
        await workers.announce(connection, "c", "ready", PACK, refused=refused)
    samples = await figures(alone)
    assert value(samples, "onbrand_jobs", status="queued") == 2
    assert value(samples, "onbrand_jobs", status="processing") == 1
    assert value(samples, "onbrand_jobs_ended_total", status="complete") == 1101
    assert value(samples, "onbrand_jobs_ended_total", status="failed") == 221
    assert value(samples, "onbrand_workers", state="loading") == 1
    assert value(samples, "onbrand_workers", state="ready") == 2
    assert value(samples, "onbrand_workers_refusing_pack") == 1
    assert value(samples, "onbrand_oldest_waiting_seconds") == pytest.approx(120, abs=5)
    assert value(samples, "onbrand_usual_seconds") == 1
    assert value(samples, "onbrand_images_missing") == 2
    assert value(samples, "onbrand_retention_held_seconds") == pytest.approx(4 * 3600, abs=60)
    assert value(samples, "onbrand_collection_held_seconds") == pytest.approx(5 * 3600, abs=60)
    assert value(samples, "onbrand_upkeep_age_seconds", task="collection") == pytest.approx(3 * 3600, abs=60)


async def test_to_count_jobs_and_images_no_table_is_read_whole(database: Database) -> None:
    async with database.pool.connection() as connection:
        await connection.execute(
            "insert into job (id, tenant_id, user_id, prompt, seed, seeds, status, percent, attempt, result_attempt,"
            " error_code, started_at, completed_at, expires_at)"
            " select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), repeat('a', 400), 1, '{1,2,3,4}',"
            " case when failed then 'failed' else 'complete' end, case when failed then 0 else 100 end, 1,"
            " case when failed then null else 1 end, case when failed then 'timeout' end,"
            " now(), now(), now() + interval '30 days'"
            " from (select n % 20 = 0 as failed from generate_series(1, 20000) n) as ended"
        )
        await connection.execute(
            "insert into image select id, n, repeat('a', 64), 1 from job, generate_series(1, 4) n"
            " where status = 'complete'"
        )
        await connection.commit()
        await connection.set_autocommit(True)
        await connection.execute("vacuum analyze job, image")
        cursor = await connection.execute(f"explain {STATEMENT}")
        plan = "\n".join(row["QUERY PLAN"] for row in await cursor.fetchall())
        assert "Index Only Scan using job_finished" in plan  # or the one with the pack: both hold what is complete
        for table in ("job", "image"):
            assert f"Seq Scan on {table}" not in plan, plan


async def test_without_a_database_the_figures_of_the_process_are_still_there(
    make_settings: Callable[..., Settings],
) -> None:
    nowhere = f"postgresql://onbrand@127.0.0.1:{free_port()}/none"
    with running(make_settings(), nowhere) as orphan:
        async with orphan.person() as person:
            assert_problem(await person.http.get(f"/jobs/{uuid4()}"), 503, "database_unavailable")
        began = time.monotonic()
        samples = await figures(orphan)
        assert time.monotonic() - began < 4
        assert value(samples, "onbrand_database_up") == 0
        assert value(samples, "onbrand_http_problems_total", code="database_unavailable") == 1
        assert not [name for name, _ in samples if name.startswith(("onbrand_jobs", "onbrand_workers"))]


async def test_a_database_that_is_not_migrated_counts_as_none(
    database_url: str, make_settings: Callable[..., Settings]
) -> None:
    with running(make_settings(), database_url) as behind:
        await behind.execute("delete from schema_migration")
        assert value(await figures(behind), "onbrand_database_up") == 0


# --- a port of its own -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def apart(service: Service, make_entra_settings: Callable[..., Settings]) -> Iterator[Service]:
    """A service whose figures are on a port of their own."""
    with running(make_entra_settings(metrics_port=free_port()), service.database_url) as apart:
        wait_until(lambda: httpx.get(metrics_url(apart) + "/metrics").status_code == 200, 10)
        yield apart


def metrics_url(service: Service) -> str:
    return f"http://127.0.0.1:{service.settings.metrics_port}"


def test_the_port_for_figures_serves_figures_and_nothing_else(apart: Service, member: Person) -> None:
    with httpx.Client(base_url=metrics_url(apart), headers={"Authorization": f"Bearer {member.token}"}) as client:
        answer = client.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert value(samples_of(answer.text), "onbrand_database_up") == 1
        for path in (
            "/",
            "/healthz",
            "/readyz",
            "/me",
            "/config.json",
            "/openapi.json",
            "/metrics/",
            "/docs",
            "/jobs/x",
        ):
            assert_problem(client.get(path), 404, "not_found")
        assert_problem(client.post("/generate", json={"prompt": "a"}), 404, "not_found")
        assert_problem(client.post("/metrics"), 405, "method_not_allowed")


def test_asking_for_figures_there_is_not_counted_as_a_request(apart: Service) -> None:
    answer = httpx.get(metrics_url(apart) + "/metrics")
    assert 'route="/metrics"' not in answer.text
    assert "onbrand_http_connections" in answer.text


def test_in_production_the_main_port_has_no_figures(
    service: Service, make_entra_settings: Callable[..., Settings]
) -> None:
    settings = make_entra_settings(metrics_port=free_port())
    settings = settings.model_copy(update={"env": Environment.PRODUCTION})
    with running(settings, service.database_url) as production:
        assert_problem(httpx.get(production.url + "/metrics"), 404, "not_found")
        assert "onbrand_database_up 1.0" in httpx.get(metrics_url(production) + "/metrics").text
