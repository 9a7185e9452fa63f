"""`onbrand backup` and `onbrand restore`, by the commands of docs/operations.md: all comes back, or nothing is made."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from onbrand.database.migrations import migrate, migrations
from onbrand.database.pool import Database
from onbrand.jobs.models import image_key, rendition_key
from onbrand.jobs.queue import deliveries_waiting
from onbrand.local.postgres import EmbeddedPostgres
from tests.complete import PNG, WEBP, complete_job
from tests.integration.database.test_backup import documented, found, run
from tests.system import environment

CARD_FILE = "reviews/12345678-0000-4000-8000-000000000000/16.png"
ASIDE_FILE = "reviews/12345678-0000-4000-8000-000000000000/asides/16-3.webp"
PACK_FILE = f"packs/{'b' * 64}/lora.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)  # as root the server runs as another user
    return tmp_path


def onbrand(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "onbrand", *arguments]
    return subprocess.run(command, env=environment(**settings), capture_output=True, text=True, timeout=120)


def pack_file(data_dir: Path) -> Path:
    path = data_dir / "images" / PACK_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")
    return path


def card_file(data_dir: Path) -> Path:
    path, aside = (data_dir / "images" / key for key in (CARD_FILE, ASIDE_FILE))
    aside.parent.mkdir(parents=True, exist_ok=True)
    aside.write_bytes(b"what it is compared with")
    path.write_bytes(b"a card")
    return path


def test_a_backup_beside_a_running_database_comes_back_in_a_new_data_directory(folder: Path) -> None:
    first, second, backup = folder / "data", folder / "second", folder / "backup"
    backup.mkdir()
    with EmbeddedPostgres(first) as server:
        migrate(server.url)
        job_id = asyncio.run(complete_job(server.url, first))
        pack_file(first)
        card_file(first)
        run(documented("backup"), DATA_DIR=str(first), BACKUP=str(backup))
        file = backup / "onbrand.tar"
        assert os.listdir(backup) == ["onbrand.tar"]
        assert file.stat().st_mode & 0o777 == 0o600
        listed = run(documented("look"), DATA_DIR=str(first), BACKUP=str(backup))
        assert image_key(job_id, 1, 4) in listed
        assert rendition_key(job_id, 1, 4) in listed
        assert "a teapot" in listed
        refused = onbrand("restore", str(file), DATA_DIR=str(first))
        assert "holds something already" in refused.stderr
        again = onbrand("backup", str(file), DATA_DIR=str(first))
        assert "is there already" in again.stderr
    run(documented("restore"), DATA_DIR=str(second), BACKUP=str(backup))
    assert {path.name for path in folder.iterdir()} == {"data", "second", "backup"}
    assert (second / "images" / PACK_FILE).read_bytes() == b"weights"
    assert (second / "images" / rendition_key(job_id, 1, 4)).read_bytes() == WEBP
    assert (second / "images" / CARD_FILE).read_bytes() == b"a card"
    assert (second / "images" / ASIDE_FILE).read_bytes() == b"what it is compared with"
    with EmbeddedPostgres(second) as server:
        assert asyncio.run(found(server.url, second, job_id)).prompt == "a teapot"
        commands = documented("look after a restore").replace("doctor", "doctor --skip-weights --skip-gpu")
        assert "Stored images read: 4." in run(commands, DATA_DIR=str(second))
        assert asyncio.run(complete_job(server.url, second)) != job_id  # keys and sequences go on
        with psycopg.connect(server.url) as connection:
            enabled = connection.execute("select bool_and(tgenabled = 'O') from pg_trigger where not tgisinternal")
            assert enabled.fetchone() == (True,)


@pytest.fixture
def backup(folder: Path, database_url: str) -> tuple[Path, str]:
    """A backup of the database of this test, and the id of the one job in it."""
    data_dir, file = folder / "data", folder / "onbrand.tar"
    job_id = asyncio.run(complete_job(database_url, data_dir))
    done = onbrand("backup", str(file), "--json", DATA_DIR=str(data_dir), DATABASE_URL=database_url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pictures"] == 4
    return file, str(job_id)


def test_by_url_a_restore_fills_a_database_that_is_empty_and_refuses_one_that_is_not(
    backup: tuple[Path, str], folder: Path, postgres: EmbeddedPostgres, database_url: str
) -> None:
    file, job_id = backup
    elsewhere = folder / "elsewhere"
    refused = onbrand("restore", str(file), DATA_DIR=str(elsewhere), DATABASE_URL=database_url)
    assert (refused.returncode, "holds something already (table job)" in refused.stderr) == (1, True)
    assert not elsewhere.exists()
    name = f"restored_{job_id[:8]}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    url = make_conninfo(postgres.url, dbname=name)
    migrate(url)  # as any command does
    done = onbrand("restore", str(file), DATA_DIR=str(elsewhere), DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    with psycopg.connect(url) as restored, psycopg.connect(database_url) as original:
        for table in ("job", "image", "procrastinate_jobs", "procrastinate_events", "upkeep"):
            rows = f"select * from {table} as t order by t::text"
            assert restored.execute(rows).fetchall() == original.execute(rows).fetchall(), table
    assert asyncio.run(waiting(url)) == asyncio.run(waiting(database_url))


async def waiting(url: str) -> int:
    database = Database(url, application_name="test", max_connections=1)
    await database.open()
    try:
        async with database.transaction() as connection:
            return await deliveries_waiting(connection)
    finally:
        await database.close()


def test_a_lost_and_a_damaged_picture_are_told_and_the_rest_is_backed_up(folder: Path, database_url: str) -> None:
    data_dir, file = folder / "data", folder / "onbrand.tar"
    job_id = asyncio.run(complete_job(database_url, data_dir))
    (data_dir / "images" / image_key(job_id, 1, 1)).unlink()
    (data_dir / "images" / image_key(job_id, 1, 2)).write_bytes(PNG[:-1] + b"?")
    (data_dir / "images" / rendition_key(job_id, 1, 3)).unlink()
    (data_dir / "images" / rendition_key(job_id, 1, 4)).write_bytes(b"?")
    done = onbrand("backup", str(file), DATA_DIR=str(data_dir), DATABASE_URL=database_url)
    assert (done.returncode, "had lost 2 files of pictures and damaged 2" in done.stderr) == (1, True)
    with tarfile.open(file) as tar:
        assert len([name for name in tar.getnames() if name.endswith(".png")]) == 3


@pytest.mark.parametrize("damage", ["cut", "flipped", "newer", "foreign"])
def test_a_file_that_is_no_whole_backup_of_ours_makes_nothing(
    backup: tuple[Path, str], folder: Path, damage: str
) -> None:
    file, _ = backup
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        at = content.index(PNG)
        file.write_bytes(content[:at] + b"F" + content[at + 1 :])
    else:
        _rewrite(file, damage)
    done = onbrand("restore", str(file), DATA_DIR=str(folder / "new"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not [path for path in folder.iterdir() if "new" in path.name]


def _rewrite(file: Path, damage: str) -> None:
    """A backup whose manifest says something that this version must not follow."""
    with tarfile.open(file) as tar:
        members = {member.name: (member, tar.extractfile(member)) for member in tar.getmembers()}
        files = {name: content.read() for name, (_, content) in members.items() if content is not None}
    manifest = json.loads(files["manifest.json"])
    if damage == "newer":
        manifest["schema_step"] = migrations()[-1].version + 1
    else:
        manifest["objects"][0]["key"] = "jobs/../../outside"
        files["jobs/../../outside"] = PNG
    files["manifest.json"] = json.dumps(manifest).encode()
    with tarfile.open(file, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, BytesIO(content))
