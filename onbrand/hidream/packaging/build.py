"""Build a brand pack, a complete directory, from a LoRA file and a base.

Values that the LoRA file contains go into the manifest; other values must be given. Nothing is guessed. The same inputs
give the same bytes, and therefore the same pack id. A pack does not contain its sign-off by a designer, or whether it
is live: see `packs/promotion.py`.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from onbrand.errors import ConfigError, DataDirUnwritable, ModelUnknown
from onbrand.hidream.models import MODELS
from onbrand.hidream.packaging.card import render_card
from onbrand.hidream.packaging.unfinished import unfinished_folder
from onbrand.hidream.weights.lora import describe
from onbrand.packs.base import Base
from onbrand.packs.lora import Description
from onbrand.packs.manifest import (
    MANIFEST,
    BrandPack,
    Lora,
    Manifest,
    Picture,
    Probe,
    Sample,
    Training,
    canonical,
    document_of,
    load_pack,
)
from onbrand.storage import local_disk
from onbrand.storage.files import ManifestFile

LORA = "lora.safetensors"
CARD = "README.md"
SAMPLES = "eval_prompts.json"
PICTURES = 4
# What a manifest takes, in words: the limits are those of `packs.manifest`.
_LIMITS = {
    "name": "1 to 100 characters in one line",
    "version": "1 to 100 characters in one line",
    "prompt_suffix": "at most 200 characters",
    "steps": "1 to 200",
    "guidance_scale": "0 to 30",
    "guidance_interval": "two noise levels from 0 to 1, the lower one first",
    "shift": "above 0 and at most 20",
    "lora.alpha": "above 0 and at most 100000",
    "lora.scale": "above 0 and at most 4",
    "lora.rank": "1 to 512",
    "examples": "at most 6, each of 1 to 100 characters in one line",
}
_PLACEHOLDER = Probe((0.0,) * 8, (0.0,) * 8)


def build_pack(
    base: Base,
    lora_file: Path,
    destination: Path,
    *,
    name: str,
    version: str,
    prompt_suffix: str,
    probe: Callable[[Base, Path, Lora], Probe],
    alpha: float | None = None,
    scale: float = 1.0,
    steps: int | None = None,
    guidance_scale: float | None = None,
    shift: float | None = None,
    guidance_interval: tuple[float, float] | None = None,
    examples: Sequence[str] = (),
    training: Training | None = None,
    samples: Sequence[Sample] = (),
    draw: Callable[[BrandPack, Sequence[str]], Iterable[bytes]] | None = None,
) -> BrandPack:
    """Write a new pack into `destination`, and read it back. The directory appears only when it is complete.

    `samples` are the prompts that a review draws; they were fixed before the training. Steps, guidance and shift that
    are not given are the model's defaults. Without `guidance_interval`, all steps are guided. `probe` fuses the LoRA
    with the base, which fails if they do not fit, and records the outputs with which every loaded model is compared.
    `draw` makes a WebP of 512 × 512 pixels for each of four prompts: the examples, or else those of the samples.

    Raises:
        ConfigError: the destination exists, a manifest cannot have a setting, or alpha is missing or differs from the
            file's.
        WeightsMissing, WeightsUnusable: the LoRA or the base cannot be used, or they do not fit.
        DataDirUnwritable: the destination cannot be written.
    """
    model = MODELS.get(base.manifest.model)
    if model is None:
        raise ModelUnknown(f"This base is for a model that this version can't load: it has {', '.join(MODELS)}.")
    if destination.exists():
        raise ConfigError(
            f"{destination} exists, and a brand pack never changes: name a folder that does not exist yet."
        )
    if guidance_interval is not None and guidance_interval[0] >= guidance_interval[1]:
        raise _not_allowed("guidance_interval")
    described = describe(lora_file)
    manifest = _validated(
        Manifest(
            schema=2,
            name=name,
            version=version,
            base_model=base.manifest.model,
            base=base.id,
            prompt_suffix=prompt_suffix,
            prompt_token_limit=model.prompt_token_limit,
            steps=model.steps if steps is None else steps,
            guidance_scale=model.guidance_scale if guidance_scale is None else guidance_scale,
            shift=model.shift if shift is None else shift,
            lora=Lora(LORA, described.rank, _alpha(lora_file, described, alpha), scale, described.modules),
            probe=_PLACEHOLDER,
            files=(ManifestFile(LORA, 0, "0" * 64),),
            examples=tuple(examples),
            guidance_interval=guidance_interval,
            training=training,
        )
    )
    above = next(folder for folder in destination.absolute().parents if folder.exists())
    with ExitStack() as unfinished:
        with _explain_write_errors(destination):
            partial = unfinished.enter_context(unfinished_folder(destination))
            shutil.copyfile(lora_file, partial / LORA)
        manifest = replace(manifest, probe=probe(base, partial / LORA, manifest.lora))
        with _explain_write_errors(destination):
            if samples:
                (partial / SAMPLES).write_bytes(canonical([asdict(one) for one in samples]))
            _write(partial, manifest, base)
        prompts = list(examples) or [sample.prompt for sample in samples]
        if draw is not None and prompts:
            four = [prompts[n % len(prompts)] for n in range(PICTURES)]
            drawn = list(draw(load_pack(partial), four))
            with _explain_write_errors(destination):
                _write(partial, manifest, base, _write_pictures(partial, four, drawn))
        with _explain_write_errors(destination):
            for path in sorted(path.name for path in partial.iterdir()):
                local_disk.sync(partial, path)
            partial.rename(destination)
            local_disk.sync(above, destination.absolute().relative_to(above).as_posix())
    return load_pack(destination)


def _alpha(lora_file: Path, found: Description, given: float | None) -> float:
    if found.alpha is None and given is None:
        raise ConfigError(
            f"{lora_file.name} does not contain its alpha, which decides its strength: give the alpha that it was"
            f" trained with (ai-toolkit's is the rank, here {found.rank})."
        )
    if found.alpha is not None and given not in (None, found.alpha):
        raise ConfigError(f"{lora_file.name} was trained with alpha {found.alpha:g}: give the same, or none.")
    return float(found.alpha if given is None else given)  # type: ignore[arg-type]


def _validated(manifest: Manifest) -> Manifest:
    """Validate a manifest as `load_pack` will, before the slow measurement."""
    lora = manifest.lora
    numbers = {"guidance_scale": manifest.guidance_scale, "shift": manifest.shift}
    for where, number in (numbers | {"lora.alpha": lora.alpha, "lora.scale": lora.scale}).items():
        if not math.isfinite(number):  # JSON does not have such numbers
            raise _not_allowed(where)
    try:
        return TypeAdapter(Manifest).validate_json(document_of(manifest))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(part for part in first["loc"] if isinstance(part, str)) or "manifest"
        raise _not_allowed(where) from None


def _not_allowed(where: str) -> ConfigError:
    return ConfigError(f"A brand pack cannot have this {where} (allowed: {_LIMITS.get(where, 'see docs/models.md')}).")


@contextmanager
def _explain_write_errors(destination: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataDirUnwritable(f"{destination} can't be written ({error.strerror}): name another folder.") from error


def _write_pictures(partial: Path, prompts: Sequence[str], drawn: Sequence[bytes]) -> tuple[Picture, ...]:
    pictures = []
    for n, (prompt, webp) in enumerate(zip(prompts, drawn, strict=True), start=1):
        (partial / f"picture-{n}.webp").write_bytes(webp)
        pictures.append(Picture(f"picture-{n}.webp", prompt))
    return tuple(pictures)


def _write(partial: Path, manifest: Manifest, base: Base, pictures: tuple[Picture, ...] = ()) -> None:
    """Write the card, then the manifest. The manifest is canonical JSON: its SHA-256 is the pack's id."""
    (partial / CARD).write_text(render_card(manifest, base.manifest), encoding="utf-8", newline="\n")
    paths = (CARD, LORA, SAMPLES, *(picture.file for picture in pictures))
    files = tuple(_file_entry(partial / path) for path in paths if (partial / path).exists())
    (partial / MANIFEST).write_bytes(document_of(replace(manifest, files=files, pictures=pictures)))


def _file_entry(path: Path) -> ManifestFile:
    with path.open("rb") as stream:
        checksum = hashlib.file_digest(stream, "sha256").hexdigest()
    return ManifestFile(path.name, path.stat().st_size, checksum)
