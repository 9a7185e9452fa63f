"""`onbrand clean`: what is due goes at once, what is held back says so, and the brakes are released only by name."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from onbrand.database.migrations import migrate
from onbrand.jobs.models import IMAGES_PER_JOB, image_key
from onbrand.local.postgres import EmbeddedPostgres
from tests.complete import complete_job
from tests.system import onbrand


def clean(data_dir: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    done = onbrand("clean", *options, DATA_DIR=str(data_dir), **settings)
    assert done.stderr == ""
    return done


def stored(data_dir: Path) -> int:
    return len(list((data_dir / "images").rglob("*.png")))


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def age(data_dir: Path) -> None:
    """Older than the grace that unknown images have."""
    at = time.time() - 3 * 3600
    for path in (data_dir / "images").rglob("*.png"):
        os.utime(path, (at, at))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_expired_jobs_are_deleted_and_nothing_else(database_url: str, data_dir: Path) -> None:
    due, kept = (asyncio.run(complete_job(database_url, data_dir)) for _ in range(2))
    execute(database_url, f"update job set expires_at = now() where id = '{due}'")
    done = clean(data_dir, DATABASE_URL=database_url)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "Jobs deleted because their time is over: 1.",
            "Stored images deleted because they belong to no result: 0.",
        ],
    )
    assert stored(data_dir) == IMAGES_PER_JOB
    assert (data_dir / "images" / image_key(kept, 1, 1)).exists()
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select collected_at from upkeep").fetchone() != (None,)


def test_deleting_more_than_half_of_all_jobs_needs_confirmation(database_url: str, data_dir: Path) -> None:
    execute(
        database_url,
        "insert into job (id, tenant_id, user_id, prompt, seed, seeds, status, error_code, completed_at, expires_at)"
        " select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'p', 1, '{1,2,3,4}', 'failed', 'timeout',"
        " now(), now() from generate_series(1, 101)",
    )
    held = clean(data_dir, DATABASE_URL=database_url)
    assert (held.returncode, "Held back: more than half of all jobs" in held.stdout) == (1, True)
    assert json.loads(clean(data_dir, "--json", DATABASE_URL=database_url).stdout)["expired"]["held"] is True
    done = clean(data_dir, "--confirm", DATABASE_URL=database_url)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "Jobs deleted because their time is over: 101.")


def test_deleting_images_that_seem_to_belong_to_another_database_needs_confirmation(
    database_url: str, data_dir: Path
) -> None:
    asyncio.run(complete_job(database_url, data_dir))
    age(data_dir)
    execute(database_url, "delete from job")  # as if this were an older copy of the database
    held = clean(data_dir, DATABASE_URL=database_url)
    assert (held.returncode, "Held back: more than a tenth of the stored images" in held.stdout) == (1, True)
    assert stored(data_dir) == IMAGES_PER_JOB
    done = clean(data_dir, "--json", "--confirm", DATABASE_URL=database_url)
    assert (done.returncode, json.loads(done.stdout)) == (
        0,
        {
            "finished": True,
            "expired": {"deleted": 0, "unfinished": 0, "held": False},
            "collected": {"deleted": 4, "leftovers": 0, "missing": 0, "held": False},
        },
    )
    assert stored(data_dir) == 0


def test_missing_images_are_counted_and_the_doctor_names_their_job(database_url: str, data_dir: Path) -> None:
    job_id = asyncio.run(complete_job(database_url, data_dir))
    execute(database_url, "update job set completed_at = now() - interval '3 hours'")
    (data_dir / "images" / image_key(job_id, 1, 2)).unlink()
    done = clean(data_dir, DATABASE_URL=database_url)
    assert (done.returncode, "Missing in the store: 1 images of complete jobs." in done.stdout) == (0, True)
    told = onbrand("doctor", "--skip-weights", "--skip-gpu", DATA_DIR=str(data_dir), DATABASE_URL=database_url)
    assert f"1 images are missing, of these jobs among others: {job_id}." in told.stdout


def test_it_uses_the_embedded_database_and_says_if_that_does_not_run(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)  # as root the server runs as another user
    data_dir = tmp_path / "data"
    with EmbeddedPostgres(data_dir) as server:
        refused = onbrand("clean", DATA_DIR=str(data_dir))
        assert (refused.returncode, "Run `onbrand migrate`" in refused.stderr) == (1, True)
        migrate(server.url)
        assert clean(data_dir).returncode == 0
    refused = onbrand("clean", DATA_DIR=str(data_dir))
    assert (refused.returncode, refused.stderr) == (
        1,
        "onbrand: The embedded PostgreSQL isn't running. Start `onbrand up`, then run this beside it.\n",
    )


def test_a_database_that_does_not_answer_is_one_plain_sentence(data_dir: Path) -> None:
    refused = onbrand("clean", DATA_DIR=str(data_dir), DATABASE_URL="postgresql://onbrand:canary@127.0.0.1:1/onbrand")
    assert (refused.returncode, refused.stderr.count("\n"), "canary" in refused.stderr) == (1, 1, False)
    assert "The database doesn't answer" in refused.stderr
