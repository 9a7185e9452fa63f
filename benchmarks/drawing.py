"""Four pictures from a loaded model: Onbrand's path beside a plain diffusers script with the same weights.

The script is what a user would write otherwise: `HiDreamImagePipeline` called with prompt embeddings, decoded and
saved with Pillow's defaults. The two take turns, so that a drifting machine hits both.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import torch
from PIL import Image

from benchmarks.report import Figure
from onbrand.config import load_settings
from onbrand.hidream.decode import decode
from onbrand.hidream.encode import embed, token_ids
from onbrand.hidream.load import load_illustrator
from onbrand.job import IMAGE_SIZE, image_seeds
from onbrand.packs import load_pack
from onbrand.png import Provenance, encode

PROMPT = "a red backpack on a light blue background"
RUNS = 7


def measure() -> Iterator[Figure]:
    """Seconds for four PNGs in memory, both ways, and their ratio run by run."""
    started = time.perf_counter()
    illustrator = load_illustrator(load_pack(load_settings().weights_dir))
    yield Figure("load the model, imports done", "s", [time.perf_counter() - started])
    seeds, pack = image_seeds(1), illustrator.pack

    def ours() -> None:
        drawing = illustrator.draw(PROMPT, seeds, lambda _: None, lambda: False)
        for pixels, seed in zip(drawing.pixels, seeds, strict=True):
            encode(pixels, Provenance(pack.id, pack.name, pack.version, illustrator.model, seed, None))

    def plain() -> None:
        manifest, encoder, pipe = illustrator.manifest, illustrator.text_encoder, illustrator.pipeline
        with torch.inference_mode():
            limit = manifest.prompt_token_limit
            ids, _ = token_ids(encoder.tokenizer, PROMPT, manifest.prompt_suffix, limit)
            empty, _ = token_ids(encoder.tokenizer, "", "", limit)
            wanted, unwanted = embed(encoder, ids), embed(encoder, empty)
            (latents,) = pipe(
                height=IMAGE_SIZE,
                width=IMAGE_SIZE,
                prompt_embeds_t5=wanted.t5.repeat(4, 1, 1),
                prompt_embeds_llama3=wanted.llama3.repeat(1, 4, 1, 1),
                pooled_prompt_embeds=wanted.pooled.repeat(4, 1),
                negative_prompt_embeds_t5=unwanted.t5.repeat(4, 1, 1),
                negative_prompt_embeds_llama3=unwanted.llama3.repeat(1, 4, 1, 1),
                negative_pooled_prompt_embeds=unwanted.pooled.repeat(4, 1),
                num_inference_steps=manifest.steps,
                guidance_scale=manifest.guidance_scale,
                generator=[torch.Generator().manual_seed(seed) for seed in seeds],
                output_type="latent",
                return_dict=False,
            )
            pictures = decode(illustrator.vae, latents)
        for pixels in pictures:
            Image.fromarray(pixels).save(io.BytesIO(), "PNG")

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
