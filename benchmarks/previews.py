"""The cost of live previews: the same pictures with and without, in turns, so that a slower machine affects both.

Expected before measuring: less than 1 %. A projection and four JPEGs take 0.8 ms, there are at most eight of them per
second, and the worker, not the model process, writes the 12 kB to the database.

Also measured: how near the decoder's linear part, which makes the previews, comes to the decoder, and whether a fitted
projection would be nearer.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.report import Figure
from onbrand.config import Settings, load_settings
from onbrand.database.migrations import migrate
from onbrand.database.pool import Database
from onbrand.hidream.decoding import preview
from onbrand.hidream.decoding.preview import Projection
from onbrand.hidream.load import load_pipeline
from onbrand.hidream.pipeline import Pipeline
from onbrand.images.store import ImageStore
from onbrand.jobs import service
from onbrand.jobs.limits import Limits
from onbrand.jobs.models import Owner, Progress, Status, image_seeds
from onbrand.local.postgres import EmbeddedPostgres
from onbrand.packs.base import load_base
from onbrand.packs.manifest import SAMPLE, load_pack
from onbrand.packs.store import PackStore
from onbrand.storage.files import open_folder
from onbrand.worker.job_runner import JobRunner
from onbrand.worker.model_process import ModelProcess, model_command
from onbrand.worker.switching import PackInUse

PAIRS = 14
PROMPTS = ("a red backpack on a light blue background", "a teapot", "a yellow sofa", "a rocket", "a camera", "a burger")
_RENDER = "onbrand.hidream.decoding.preview.Previews.render"
_WITHOUT = f"""
import sys
from pathlib import Path
from unittest.mock import patch
from onbrand.worker.child import main
with patch("{_RENDER}", lambda self, latents: ()):
    sys.exit(main(Path(sys.argv[1])))
"""


def measure() -> Iterator[Figure]:
    """Seconds with and without previews, the ratio of each pair, bytes, and decibels."""
    settings = load_settings()
    base = load_base(open_folder(settings, settings.model_place))
    pipeline = load_pipeline(base, load_pack(Path(settings.model_place) / SAMPLE))
    yield from _of_the_model(pipeline)
    yield from _of_the_projection(pipeline)
    del pipeline
    yield from asyncio.run(_of_the_worker(settings))


def _of_the_model(pipeline: Pipeline) -> Iterator[Figure]:
    sizes: list[int] = []

    def note(progress: Progress) -> None:
        sizes.extend(len(jpeg) for jpeg in progress.previews)

    def run() -> tuple[float, float]:
        started, used = time.perf_counter(), time.process_time()
        pipeline.draw(PROMPTS[0], image_seeds(1), note, lambda: False)
        return time.perf_counter() - started, time.process_time() - used

    def run_without() -> tuple[float, float]:
        with patch(_RENDER, lambda _self, _latents: ()):
            return run()

    run()
    sizes.clear()
    pairs = [(run(), run_without()) for _ in range(PAIRS)]
    yield from _compared("drawing four pictures", [(own[0], other[0]) for own, other in pairs])
    # Of all threads together. Other programs on the machine change it less than the seconds.
    yield from _compared("the processor's time for it", [(own[1], other[1]) for own, other in pairs])
    yield Figure("previews of a drawing", "", [len(sizes) / 4 / PAIRS])
    yield Figure("one preview", "bytes", sizes)


async def _of_the_worker(settings: Settings) -> list[Figure]:
    """From claim to publishing, with the real model process, the database and the store."""
    with tempfile.TemporaryDirectory(prefix="onbrand-") as folder, EmbeddedPostgres(Path(folder)) as server:
        migrate(server.url)
        database = Database(server.url, application_name="benchmark", max_connections=4)
        images = ImageStore.on_disk(Path(folder) / "images")
        pack_store, base = PackStore.open(settings), load_base(open_folder(settings, settings.model_place))
        commands = (model_command, lambda pack_dir: [sys.executable, "-c", _WITHOUT, str(pack_dir)])
        models = [ModelProcess() for _ in commands]
        packs = [
            PackInUse(settings.pack, database, pack_store, base, model, command)
            for model, command in zip(models, commands, strict=True)
        ]
        runners = [
            JobRunner(settings, database, images, model, in_use, "benchmark", asyncio.Event())
            for model, in_use in zip(models, packs, strict=True)
        ]
        await database.open()
        try:
            for in_use in packs:
                await in_use.open()
            for runner in runners:  # loads the model and warms up
                await _generate(database, runner)
            pairs = [
                (await _generate(database, runners[0]), await _generate(database, runners[1])) for _ in range(PAIRS)
            ]
        finally:
            for model in models:
                await model.stop()
            await database.close()
    return list(_compared("claim to publishing", pairs))


async def _generate(database: Database, runner: JobRunner) -> float:
    limits = Limits(unfinished_per_user=10, submitted_per_minute=10, waiting=10)
    owner = Owner(uuid4(), uuid4())
    async with database.transaction() as connection:
        submitted = await service.submit(connection, owner, PROMPTS[0], idempotency_key=None, limits=limits)
    started = time.perf_counter()
    await runner.run_next_job()
    seconds = time.perf_counter() - started
    async with database.transaction() as connection:
        assert (await service.find(connection, owner, submitted.job_id)).status is Status.COMPLETE
    return seconds


def _compared(what: str, pairs: list[tuple[float, float]]) -> Iterator[Figure]:
    yield Figure(f"{what}, with previews", "s", [own for own, _ in pairs])
    yield Figure(f"{what}, without", "s", [other for _, other in pairs])
    yield Figure(f"{what}, ratio", "×", [own / other for own, other in pairs], "≤ 1.03")


def _of_the_projection(pipeline: Pipeline) -> Iterator[Figure]:
    with torch.inference_mode():
        latents = torch.cat([_latents(pipeline, prompt) for prompt in PROMPTS])
        decoded = torch.cat([pipeline.decoder.decode(latent[None]) for latent in latents])
        pictures = F.interpolate(decoded, size=(128, 128), mode="area")
    half = len(latents) // 2
    fitted = preview.fit_projection(latents[:half], pictures[:half])
    for name, projection in (("its linear part", pipeline.decoder.projection), ("a fitted one", fitted)):
        yield Figure(f"the decoder's picture and {name}", "dB", _psnr(projection, latents[half:], pictures[half:]))


def _latents(pipeline: Pipeline, prompt: str) -> Tensor:
    return pipeline._denoise(pipeline.encode(prompt), image_seeds(1), lambda _step, _clean: None)


def _psnr(projection: Projection, latents: Tensor, pictures: Tensor) -> list[float]:
    shown = projection(latents).clamp(-1, 1)
    error = (shown - pictures.clamp(-1, 1)).div(2).square().mean(dim=(1, 2, 3))
    return [float(value) for value in -10 * torch.log10(error)]
