"""Four pictures from a loaded model: Onbrand's code compared with a plain diffusers script with the same weights.

The script is what a user would write without Onbrand: `HiDreamImagePipeline` with the LoRA loaded as in diffusers'
documentation, called with prompt embeddings (the pipeline does not support the mini model's text encoder), and pictures
saved with Pillow's defaults. The two take turns, so that a machine that becomes slower affects both. `onbrand bench`
measures only the model.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.report import Figure
from onbrand.config import load_settings
from onbrand.hidream.benchmark.diffusers_baseline import load_baseline
from onbrand.hidream.load import load_pipeline
from onbrand.hidream.text.embedding_cache import EmbeddingCache
from onbrand.images.png import encode
from onbrand.jobs.models import image_seeds
from onbrand.packs.base import configured_base
from onbrand.packs.manifest import SAMPLE, load_pack

PROMPT = "a red backpack on a light blue background"
RUNS = 7


def measure() -> Iterator[Figure]:
    """Seconds for four PNGs in memory, in both ways, and the ratio of each run."""
    settings = load_settings()
    base, pack = configured_base(settings), load_pack(Path(settings.model_place) / SAMPLE)
    started = time.perf_counter()
    pipeline = load_pipeline(base, pack)
    yield Figure("load the model, imports done", "s", [time.perf_counter() - started])
    baseline = load_baseline(base, pack.manifest, torch.device("cpu"))
    baseline.pipeline.load_lora_weights(pack.path(pack.manifest.lora.file))
    seeds = image_seeds(1)

    def ours() -> None:
        pipeline.embedding_cache = EmbeddingCache()  # the script has no cache either
        output = pipeline.draw(PROMPT, seeds, lambda _: None, lambda: False)
        for pixels, seed in zip(output.pixels, seeds, strict=True):
            encode(pixels, pipeline.provenance(seed, seeds, job_id=None))

    def plain() -> None:
        for picture in baseline.draw(PROMPT, seeds, lambda _: None):
            picture.save(io.BytesIO(), "PNG")

    ours()
    plain()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(RUNS):
        for run, seconds in zip((ours, plain), times, strict=True):
            started = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - started)
    yield Figure("four PNGs from a loaded model", "s", times[0])
    yield Figure("the same by a plain diffusers script", "s", times[1])
    yield Figure("ratio, ours to plain", "×", [own / other for own, other in zip(*times, strict=True)])
