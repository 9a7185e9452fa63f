"""`onbrand evaluate`: which checkpoint of a run becomes the brand pack, and what speaks for and against it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from onbrand.dataset.features import view
from onbrand.dataset.likeness import fingerprint
from onbrand.errors import ConfigError, RunChanged, RunUnusable
from onbrand.hidream.load import probe_lora
from onbrand.hidream.packaging.build import build_pack
from onbrand.images.rendition import encode
from onbrand.jobs.models import IMAGE_SIZE
from onbrand.packs.base import Base
from onbrand.packs.manifest import BrandPack, Metrics, Sample, Training, load_pack
from onbrand.training import choose
from onbrand.training.begin import read_picture
from onbrand.training.copies import Nearness
from onbrand.training.criteria import Brand, Seen, fit_brand, inside_shares, look
from onbrand.training.drawings import Drawings
from onbrand.training.evaluation_page import write_page
from onbrand.training.judged import Evaluation, Judged
from onbrand.training.kept import LORA, folder_of, read_checkpoints
from onbrand.training.record import RECORD, Record, locked, read_record
from onbrand.training.train import explained
from onbrand.training.whole_files import write_whole
from onbrand.training.workplace import Tell, open_place, repeatable, resized

PACKS = "packs"
PAGE = "evaluation.html"
FIGURES = "evaluation.json"


def evaluate(
    base: Base,
    run: Path,
    *,
    name: str,
    version: str,
    checkpoint: int | None = None,
    directory: Path | None = None,
    tell: Tell = lambda _what, _done, _total: None,
) -> tuple[Evaluation, BrandPack]:
    """Measure every checkpoint, choose one, sweep its strength, write the page, and build the pack.

    Raises:
        RunUnusable: there is no run, or it has no checkpoint yet.
        RunChanged: the base isn't the one that the run was trained on.
        ConfigError: there is no such checkpoint, or another pack of this version was built.
        DataDirUnwritable: the run's folder can't be written.
        WeightsMissing, WeightsUnusable, NotEnoughMemory: as for training.
    """
    record = read_record(run)
    if record.base != base.id:
        raise RunChanged(
            f"The run was trained on {record.base_model} with the id {record.base[:12]}, and the base is now"
            f" {base.manifest.model} with the id {base.id[:12]}: set ONBRAND_MODEL and ONBRAND_MODEL_PATH as they were."
        )
    with explained(run), locked(run), repeatable(record.threads):
        drawings = Drawings(run, record, open_place(base, directory), tell)
        evaluation = _measured(run, record, drawings, checkpoint, tell)
        drawings.free()
        tell("Building the pack", 0, 0)
        pack = _pack(base, run, evaluation, name, version)
        write_whole(run / FIGURES, json.dumps(figures(evaluation, pack), indent=2) + "\n")
        write_page(run / PAGE, evaluation, pack)
    return evaluation, pack


def _measured(run: Path, record: Record, drawings: Drawings, wanted: int | None, tell: Tell) -> Evaluation:
    checkpoints = read_checkpoints(run)
    if not checkpoints:
        raise RunUnusable(f"The run in {run} has no checkpoint yet: go on with onbrand train and --resume.")
    if wanted is not None and wanted not in {one.step for one in checkpoints}:
        known = ", ".join(str(one.step) for one in checkpoints)
        raise ConfigError(f"There is no checkpoint {wanted}: choose one of {known}.")

    def reader(number: int) -> Callable[[], np.ndarray]:
        return lambda: resized(read_picture(run, record.pictures[number]), record.settings.side)

    own = {one.name: reader(number) for number, one in enumerate(record.pictures)}
    seen = {}
    for number, (name, pixels) in enumerate(own.items(), 1):
        seen[name] = look(pixels())
        tell("Measuring the brand's own pictures", number, len(own))
    brand, left_out = fit_brand(list(seen.values()))
    near = Nearness.of([one.print for one in seen.values()])
    training = {name: seen[name] for name in record.captions(is_held_out=False)}
    judge = _Judge(drawings, brand, near, training)
    bare = judge.of(0, 0.0)
    judged = [judge.of(one.step, choose.SCALES[0]) for one in checkpoints]
    by_rule = choose.choose([one.candidate for one in judged]).step
    step = by_rule if wanted is None else wanted
    strengths = [judge.of(step, scale) for scale in choose.SCALES]
    best = choose.choose([one.candidate for one in strengths])
    chosen = next(one for one in strengths if one.candidate == best)
    return Evaluation(record, own, inside_shares(left_out), bare, checkpoints, judged, strengths, by_rule, chosen)


@dataclass
class _Judge:
    drawings: Drawings
    brand: Brand
    near: Nearness
    training: Mapping[str, Seen]
    known: dict[tuple[int, float], Judged] = field(default_factory=dict)

    def of(self, step: int, scale: float) -> Judged:
        """Measure a checkpoint at a strength, once."""
        if (step, scale) not in self.known:
            self.known[step, scale] = self._measured(step, scale)
        return self.known[step, scale]

    def _measured(self, step: int, scale: float) -> Judged:
        pictures = self.drawings.of(step, scale)
        count = len(self.drawings.record.samples)
        seen = [look(pixels()) for pixels in pictures[:count]]
        four = [seen[0].print, *(fingerprint(view(pixels())) for pixels in pictures[count:])]
        prints = {name: one.print for name, one in self.training.items()}
        return Judged(
            step,
            scale,
            pictures,
            [self.brand.outside(one) for one in seen],
            [self.near.nearest(one.print, prints) for one in seen],
            round(self.near.diversity(four), 4),
        )


def _pack(base: Base, run: Path, evaluation: Evaluation, name: str, version: str) -> BrandPack:
    """Build the pack of the chosen checkpoint, or take the same one that was built before."""
    chosen, record = evaluation.chosen, evaluation.record
    training = training_of(run, evaluation)
    destination = run / PACKS / f"{chosen.step:06d}-{chosen.scale:g}"
    if destination.exists():
        built = load_pack(destination)
        manifest = built.manifest
        if (manifest.name, manifest.version, manifest.training) == (name, version, training):
            built.verify()
            return built
        destination = destination.with_name(f"{destination.name}-{_slug(version)}")
        if destination.exists():
            raise ConfigError(f"{destination} exists, and a brand pack never changes: give another --version.")
    return build_pack(
        base,
        folder_of(run, chosen.step) / LORA,
        destination,
        name=name,
        version=version,
        prompt_suffix=record.settings.prompt_suffix,
        probe=probe_lora,
        scale=chosen.scale,
        training=training,
        samples=[Sample(one.prompt, one.seed) for one in record.samples],
        draw=lambda _pack, prompts: [encode(resized(draw(), IMAGE_SIZE)) for draw in chosen.pictures[: len(prompts)]],
    )


def training_of(run: Path, evaluation: Evaluation) -> Training:
    """What the pack says about its training: digests and figures, nothing of the brand's pictures."""
    record, chosen = evaluation.record, evaluation.chosen
    return Training(
        base_model=record.base_model,
        base=record.base,
        dataset=record.dataset,
        illustrations=len(record.pictures),
        run=hashlib.sha256((run / RECORD).read_bytes()).hexdigest(),
        step=chosen.step,
        metrics=Metrics(
            held_out_loss=round(evaluation.checkpoint.held_out_mean, 6),
            inside={name: round(share, 4) for name, share in chosen.inside.items()},
            own_inside={name: round(share, 4) for name, share in evaluation.own_inside.items()},
            possible_copies=chosen.candidate.flagged,
            diversity=chosen.diversity,
        ),
        trained_on=record.trained_on,
    )


def figures(evaluation: Evaluation, pack: BrandPack) -> dict[str, object]:
    """`evaluation.json`, and what `--json` prints."""
    held_out = {one.step: one.held_out for one in evaluation.checkpoints}
    return {
        "rule": choose.RULE,
        "by_rule": evaluation.by_rule,
        "chosen": {"step": evaluation.chosen.step, "scale": evaluation.chosen.scale},
        "is_overruled": evaluation.is_overruled,
        "own_pictures_inside": evaluation.own_inside,
        "base": _row(evaluation.base),
        "checkpoints": [{**_row(one), "held_out_loss": held_out[one.step]} for one in evaluation.judged],
        "strengths": [_row(one) for one in evaluation.strengths],
        "pack": {"id": pack.id, "name": pack.manifest.name, "version": pack.manifest.version},
    }


def _row(judged: Judged) -> dict[str, object]:
    return {**asdict(judged.candidate), "is_left_out": judged.candidate.is_left_out, "criteria": judged.inside}


def _slug(version: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in version)
