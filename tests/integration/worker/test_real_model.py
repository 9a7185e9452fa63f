"""The real model process with the mini weights: a whole job, and how the process ends."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO, cast

from PIL import Image

from onbrand.images.png import check
from onbrand.jobs.models import Phase, Status, image_key
from onbrand.worker.frames import read
from onbrand.worker.model_process import model_command
from onbrand.worker.run import run_worker
from tests.integration.worker.harness import WorkerHarness, until
from tests.packs import SAMPLE
from tests.system import is_alive


async def test_a_job_is_drawn_by_the_real_model_with_rising_progress_and_its_own_seeds(harness: WorkerHarness) -> None:
    stop = asyncio.Event()
    job_id = await harness.submit("a red backpack on a light blue background")
    working = asyncio.create_task(run_worker(harness.settings, harness.database_url, stop, asyncio.Event()))
    seen: list[tuple[Status, Phase, int]] = []

    async def watch_to_the_end() -> bool:
        job = await harness.find(job_id)
        if not seen or seen[-1] != (job.status, job.progress.phase, job.percent):
            seen.append((job.status, job.progress.phase, job.percent))
        return job.status in (Status.COMPLETE, Status.FAILED)

    await until(watch_to_the_end, 120)
    stop.set()
    await working
    await harness.check_result(job_id, attempt=1)
    percents = [percent for _, _, percent in seen]
    assert percents == sorted(percents)
    assert len(set(percents)) > 6
    phases = list(dict.fromkeys(phase for _, phase, _ in seen))
    assert phases == [phase for phase in Phase if phase in phases]  # each once, in order
    assert {Phase.WAITING, Phase.DRAWING} <= set(phases)
    job = await harness.find(job_id)
    seeds, pixels = [], set()
    for n in (1, 2, 3, 4):
        png = (harness.images_dir / image_key(job_id, 1, n)).read_bytes()
        check(png)
        with Image.open(io.BytesIO(png)) as image:
            seeds.append(int(image.info["Onbrand-Seed"]))
            assert image.info["Onbrand-Job"] == str(job_id)
            pixels.add(image.tobytes())
    assert (tuple(seeds), len(pixels)) == (job.seeds, 4)
    assert job.pack is not None


async def is_loading(pid: int) -> bool:
    """Whether a model process has begun to load torch."""
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


async def test_a_model_ends_with_its_standard_input_even_while_it_loads() -> None:
    with subprocess.Popen(model_command(SAMPLE.directory), stdin=subprocess.PIPE) as model:
        await until(lambda: is_loading(model.pid))
        assert model.stdin is not None
        model.stdin.close()
        assert await asyncio.to_thread(model.wait, 10) == 0


async def test_without_a_gpu_a_model_lets_the_other_processes_go_first() -> None:
    command = model_command(SAMPLE.directory)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as model:
        assert model.stdin is not None
        assert model.stdout is not None
        while (
            frame := await asyncio.to_thread(read, cast(BinaryIO, model.stdout))
        ) is not None and frame.kind != "ready":
            pass
        assert frame is not None
        assert os.getpriority(os.PRIO_PROCESS, model.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
        assert os.getsid(model.pid) == model.pid
        autogroup = Path(f"/proc/{model.pid}/autogroup")
        if autogroup.exists():
            assert autogroup.read_text().endswith(" nice 10\n")
        model.stdin.close()


async def test_a_model_that_cannot_notice_the_end_of_its_worker_ends_with_it() -> None:
    start = "import subprocess, sys; child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE); print(child.pid)"
    command = [sys.executable, "-c", f"{start}; sys.stdout.flush(); child.wait()"]
    with subprocess.Popen([*command, *model_command(SAMPLE.directory)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        model = int(parent.stdout.readline())
        await until(lambda: is_loading(model))
        os.kill(model, signal.SIGSTOP)  # like a process that hangs in a call while it has the interpreter's lock
        parent.kill()

        async def is_gone() -> bool:
            return not is_alive(model)

        try:
            await until(is_gone, 10)
        finally:
            if is_alive(model):
                os.kill(model, signal.SIGKILL)
