"""Training data on disk: pictures painted, encoded and laid down as arrays that the training loop maps into memory.

A shard is a folder of pictures k = start … start + count - 1 with `latents.npy` (N, C, 16, 16), `text.npy`
(N, layers, slots, 384), `pooled.npy` (N, 384), all float16, and `captions.jsonl`. It is written under another name and
renamed when it is whole, so a killed run leaves no half shard.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from models.mini.recipe.art import Art
from models.mini.recipe.autoencoder import Basis
from models.mini.recipe.concepts import read_concepts
from models.mini.recipe.pictures import Cast, Sample, sample
from models.mini.recipe.scenes import paint
from models.mini.recipe.text import Text

SIDE = 128  # pixels of the picture that is encoded
Stage = Literal["all", "core"]


def make_cast(art: Art, stage: Stage = "all") -> Cast:
    """All concepts that have a drawing, or the core ones alone, each in one drawing and equally often.

    One drawing a thing: a small model that is told "a book" and is shown four of them draws their average for long.
    The stage "core" has half as many things, which are learned in half the time.
    """
    concepts = [concept for concept in read_concepts() if art.drawings_of(concept)]
    if stage == "core":
        concepts = [concept for concept in concepts if "core" in concept.roles]
    return Cast(concepts, [art.drawings_of(concept, 1) for concept in concepts], [1.0 for _ in concepts])


def small_picture(one: Sample, art: Art, side: int = SIDE) -> np.ndarray:
    """(side, side, 3) uint8 sRGB."""
    return (paint(one.picture, art, side) * 255 + 0.5).astype(np.uint8)


def small_pictures(
    art_folder: Path | None, stage: Stage, seed: int, ks: Iterable[int]
) -> tuple[np.ndarray, list[Sample]]:
    """(N, side, side, 3) uint8 and what they show."""
    art = Art(art_folder)
    cast = make_cast(art, stage)
    samples = [sample(cast, seed, k) for k in ks]
    return np.stack([small_picture(one, art) for one in samples]), samples


def write_shard(
    folder: Path, art_folder: Path | None, stage: Stage, basis: Basis, text: Text, seed: int, start: int, count: int
) -> None:
    """Paint, encode and write one shard; nothing happens if it is there."""
    if folder.exists():
        return
    partly = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partly, ignore_errors=True)
    partly.mkdir(parents=True)
    latents, captions, names = [], [], []
    for first in range(start, start + count, 500):
        pictures, samples = small_pictures(art_folder, stage, seed, range(first, min(first + 500, start + count)))
        latents.append(basis.encode(torch.from_numpy(pictures)).half().numpy())
        captions += [one.caption for one in samples]
        names += [one.names for one in samples]
    np.save(partly / "latents.npy", np.concatenate(latents))
    states, pooled = text.embed(captions)
    np.save(partly / "text.npy", states)
    np.save(partly / "pooled.npy", pooled)
    lines = (json.dumps({"caption": caption, "names": name}) for caption, name in zip(captions, names, strict=True))
    (partly / "captions.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    os.replace(partly, folder)


def write_shards(
    root: Path,
    art_folder: Path | None,
    stage: Stage,
    basis: Basis,
    text_folder: Path,
    seed: int,
    count: int,
    each: int,
    workers: int,
) -> None:
    """Pictures 0 … count - 1 as shards of `each`, by so many processes; shards that are there stay."""
    starts = range(0, count, each)
    job = partial(_write_one, root, art_folder, stage, basis, text_folder, seed, each)
    with ProcessPoolExecutor(workers) as pool:
        for _ in pool.map(job, starts):
            pass


def _write_one(
    root: Path, art_folder: Path | None, stage: Stage, basis: Basis, text_folder: Path, seed: int, each: int, start: int
) -> None:
    torch.set_num_threads(1)
    folder = root / f"{start:08d}"
    if not folder.exists():
        write_shard(folder, art_folder, stage, basis, Text.load(text_folder), seed, start, each)


@dataclass
class Shards:
    """The shards of a folder as one array, mapped, not read."""

    latents: list[np.ndarray]
    text: list[np.ndarray]
    pooled: list[np.ndarray]
    ends: np.ndarray
    is_single: torch.Tensor  # (N,) whether a picture shows one thing

    @classmethod
    def open(cls, folders: Sequence[Path]) -> Shards:
        """Map the shards in `folders`."""
        load = partial(np.load, mmap_mode="r")
        latents = [load(folder / "latents.npy") for folder in folders]
        text = [load(folder / "text.npy") for folder in folders]
        pooled = [load(folder / "pooled.npy") for folder in folders]
        lines = (line for folder in folders for line in (folder / "captions.jsonl").read_text("utf-8").splitlines())
        is_single = torch.tensor([len(json.loads(line)["names"]) == 1 for line in lines])
        return cls(latents, text, pooled, np.cumsum([len(part) for part in latents]), is_single)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def pick(self, count: int, singles: float | None, generator: torch.Generator) -> list[int]:
        """Indices of pictures for a batch; `singles` is the share of those with one thing, None for as many as come."""
        if singles is None:
            return torch.randint(len(self), (count,), generator=generator).tolist()
        ones, others = self.is_single, ~self.is_single
        shares = singles * ones / ones.sum().clamp(min=1) + (1 - singles) * others / others.sum().clamp(min=1)
        return torch.multinomial(shares, count, replacement=True, generator=generator).tolist()

    def batch(self, indices: Sequence[int], channels: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, channels, 16, 16) latents, (B, layers, slots, 384) text and (B, 384) pooled text, in float32."""
        rows: tuple[list[np.ndarray], ...] = ([], [], [])
        for index in indices:
            shard = int(np.searchsorted(self.ends, index, side="right"))
            row = index - (int(self.ends[shard - 1]) if shard else 0)
            rows[0].append(self.latents[shard][row, :channels])
            rows[1].append(self.text[shard][row])
            rows[2].append(self.pooled[shard][row])
        latents, text, pooled = (torch.from_numpy(np.stack(part)).float() for part in rows)
        return latents, text, pooled
