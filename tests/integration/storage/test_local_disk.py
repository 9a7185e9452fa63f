"""What only a folder needs: files survive a power cut, no half-written files, no empty folders, no followed links."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from onbrand.config import REPOSITORY, Settings
from onbrand.errors import DataDirUnwritable, ImageStoreUnavailable
from onbrand.images.store import ImageStore
from onbrand.jobs.models import image_key
from tests.integration.storage.places import JOB, PNG, Place, put_job

HOUR = timedelta(hours=1)


@pytest.fixture
def folder(disk: Place) -> Path:
    assert disk.folder is not None
    return disk.folder


def age(path: Path, hours: float) -> None:
    """Make a file or folder look as if it had not been changed for so long."""
    then = time.time() - hours * 3600
    os.utime(path, (then, then))


def folders(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_dir()}


# --- writing ---------------------------------------------------------------------------------------------------------


def test_images_are_below_the_data_directory_unless_told_otherwise(settings: Settings) -> None:
    assert Place.of(settings).folder == settings.data_dir / "images"


async def test_a_reader_sees_a_whole_file_or_none_while_it_is_written(disk: Place, folder: Path) -> None:
    png, path = os.urandom(20_000_000), folder / image_key(JOB, 1, 2)
    sizes = set()
    writing = asyncio.create_task(disk.images.put(JOB, 1, 2, png))
    while not writing.done():
        sizes.add(path.stat().st_size if path.exists() else None)
        await asyncio.sleep(0)
    await writing
    assert sizes <= {None, len(png)}
    assert None in sizes  # it was looked at in time


@pytest.mark.parametrize("is_there_already", [False, True], ids=["new", "stored before, perhaps without the sync"])
async def test_an_image_and_the_way_to_it_are_on_the_disk_before_it_counts_as_stored(
    disk: Place, folder: Path, monkeypatch: pytest.MonkeyPatch, is_there_already: bool
) -> None:
    if is_there_already:
        await disk.put(image_key(JOB, 1, 1))
    synced = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")), os.fstat(descriptor).st_size))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    await disk.images.put(JOB, 1, 1, PNG)
    path = folder / image_key(JOB, 1, 1)
    assert synced[0] == (path, len(PNG))
    assert [one for one, _ in synced[1:]] == [path.parent, path.parent.parent, folder / "jobs", folder]


async def test_an_attempt_is_never_disturbed_by_the_removal_of_another(disk: Place, folder: Path) -> None:
    deadline, rounds = time.monotonic() + 2, 0
    remover = ImageStore.on_disk(folder)

    async def remove() -> None:
        while time.monotonic() < deadline:
            await remover.put(JOB, 1, 1, PNG[:100])
            await remover.discard(JOB, 1)
            await remover.sweep_leftovers(HOUR)

    removing = asyncio.create_task(remove())
    while time.monotonic() < deadline:
        stored = await disk.images.put(JOB, 2, 1, PNG[:100])
        assert await disk.images.get(JOB, 2, stored) == PNG[:100]
        await disk.images.discard(JOB, 2)
        rounds += 1
    await removing
    assert rounds > 20


FULL = """
import asyncio, resource, sys
from pathlib import Path
from uuid import UUID
from onbrand.errors import ImageStoreUnavailable
from onbrand.images.store import ImageStore

async def main(folder, job_id):
    images, png = ImageStore.on_disk(Path(folder)), bytes(200_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))  # no file may become larger
    try:
        await images.put(UUID(job_id), 1, 1, png)
    except ImageStoreUnavailable:
        left = [path for path in Path(folder).rglob("*") if path.is_file()]
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        stored = await images.put(UUID(job_id), 1, 1, png)
        print(left, await images.get(UUID(job_id), 1, stored) == png)

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_full_disk_leaves_nothing_half_written_and_takes_the_image_once_there_is_room(folder: Path) -> None:
    command = [sys.executable, "-c", FULL, str(folder), str(JOB)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "[] True\n"


async def test_a_store_that_cannot_be_written_is_unavailable(disk: Place, folder: Path) -> None:
    (folder / "jobs").write_text("in the way")
    with pytest.raises(ImageStoreUnavailable):
        await disk.images.put(JOB, 1, 2, PNG)


def test_a_directory_that_cannot_be_made_is_one_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        DataDirUnwritable, match="Point ONBRAND_DATA_DIR or ONBRAND_STORAGE_URL to one that you may write"
    ):
        ImageStore.on_disk(tmp_path / "file" / "images")


# --- listing ---------------------------------------------------------------------------------------------------------


async def test_a_store_whose_folder_is_gone_is_unavailable_rather_than_empty(disk: Place, folder: Path) -> None:
    folder.rmdir()
    with pytest.raises(ImageStoreUnavailable):
        await disk.stored()


async def test_a_store_that_cannot_be_read_is_unavailable_rather_than_empty(disk: Place, folder: Path) -> None:
    (folder / "jobs").write_text("in the way")
    with pytest.raises(ImageStoreUnavailable):
        await disk.stored()


async def test_a_symbolic_link_leads_nowhere(disk: Place, folder: Path, tmp_path: Path) -> None:
    linked, outside = uuid4(), tmp_path / "outside"
    (outside / "1").mkdir(parents=True)
    for name in ("1.png", "2.png#1"):
        (outside / "1" / name).write_bytes(PNG)
        age(outside / "1" / name, hours=5)
    await put_job(disk.images, JOB)
    (folder / "jobs" / str(linked)).symlink_to(outside)
    (folder / "jobs" / str(JOB) / "2").symlink_to(outside / "1")
    (folder / "jobs" / str(JOB) / "3").mkdir()
    (folder / "jobs" / str(JOB) / "3" / "1.png").symlink_to(outside / "1" / "1.png")
    assert {(key.job_id, key.attempt) for key in await disk.stored()} == {(JOB, 1)}
    assert await disk.images.sweep_leftovers(HOUR) == 0
    await disk.images.delete_job(JOB)
    await disk.images.delete_job(linked)
    assert sorted(path.name for path in (outside / "1").iterdir()) == ["1.png", "2.png#1"]


# --- deleting --------------------------------------------------------------------------------------------------------


KILLED = """
import asyncio, os, sys
from pathlib import Path
from uuid import UUID
from onbrand.images.store import ImageStore

async def main(folder, job_id):
    images = ImageStore.on_disk(Path(folder))
    print("ready", flush=True)
    await asyncio.gather(*(images.put(UUID(job_id), int(sys.argv[3]), n, os.urandom(30_000_000)) for n in (1, 2, 3, 4)))

asyncio.run(main(*sys.argv[1:3]))
"""


async def test_what_a_killed_writer_leaves_is_no_image_and_is_swept(disk: Place, folder: Path) -> None:
    leftovers: set[str] = set()
    for attempt in range(1, 40):
        command = [sys.executable, "-c", KILLED, str(folder), str(JOB), str(attempt)]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            while writer.poll() is None and not list(folder.rglob("*#*")):
                await asyncio.sleep(0)
            writer.send_signal(signal.SIGKILL)
        leftovers = {key for key in await disk.keys() if "#" in key}
        if leftovers:
            break
    assert leftovers
    assert not leftovers & {key.key for key in await disk.stored()}
    assert await disk.images.sweep_leftovers(HOUR) == 0  # somebody may be writing them at this moment
    for key in leftovers:
        age(folder / key, hours=2)
    whole = {key.key for key in await disk.stored()}
    assert await disk.images.sweep_leftovers(HOUR) == len(leftovers)
    assert await disk.keys() == whole


async def test_sweeping_touches_no_file_that_could_be_anything_else(disk: Place, folder: Path) -> None:
    attempt = f"jobs/{JOB}/1"
    kept = {
        *(f"{attempt}/{name}" for name in ("1.png", "5.png#1", "1.png#", "1.png#x", "1.png#1.bak", "x#1", "1.jpg#1")),
        *("1.png#1", "jobs/1.png#1", f"jobs/{JOB}/1.png#1", "jobs/x/1/1.png#1", f"jobs/{JOB}/01/1.png#1"),
    }
    for key in {*kept, f"{attempt}/1.png#1", f"{attempt}/4.png#27"}:
        await disk.put(key)
        age(folder / key, hours=2)
    assert await disk.images.sweep_leftovers(HOUR) == 2
    assert await disk.keys() == kept


async def test_a_deleted_job_leaves_no_half_written_file_and_no_folder(disk: Place, folder: Path) -> None:
    await put_job(disk.images, JOB)
    await disk.put(f"jobs/{JOB}/2/3.png#1")
    (folder / "jobs" / str(JOB) / "3").mkdir()
    await disk.images.delete_job(JOB)
    assert await disk.keys() == set()
    assert folders(folder) == {"jobs"}


async def test_the_folders_of_deleted_images_go_with_them_or_a_while_later(disk: Place, folder: Path) -> None:
    await put_job(disk.images, JOB)
    (folder / "jobs" / "foreign").mkdir()
    await disk.images.delete(await disk.stored())
    assert folders(folder) == {"jobs", "jobs/foreign", f"jobs/{JOB}"}  # the next attempt may be starting there
    await disk.images.sweep_leftovers(HOUR)
    assert f"jobs/{JOB}" in folders(folder)
    for path in (folder / "jobs").iterdir():
        age(path, hours=2)
    await disk.images.sweep_leftovers(HOUR)
    assert folders(folder) == {"jobs", "jobs/foreign"}


def test_other_users_of_the_machine_may_not_look_at_pictures(tmp_path: Path) -> None:
    ImageStore.open(Settings(data_dir=tmp_path))
    assert (tmp_path / "images").stat().st_mode & 0o077 == 0
