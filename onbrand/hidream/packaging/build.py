"""Makes a brand pack from a LoRA file and a base: a directory that nothing needs to be added to.

What the file says of itself goes into the manifest, what it doesn't say must be given, and nothing is guessed. The same
inputs give the same bytes, so the same pack id. Whether the pack is any good is for designers to say, which one is live
for `promotion`; neither is in it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from onbrand.errors import ConfigError, DataDirUnwritable, ModelUnknown
from onbrand.hidream.models import MODELS
from onbrand.hidream.packaging.card import card
from onbrand.hidream.weights.lora import Description, describe
from onbrand.packs.base import Base
from onbrand.packs.manifest import MANIFEST, BrandPack, Lora, Manifest, Probe, canonical, load_pack
from onbrand.storage.files import ManifestFile

LORA = "lora.safetensors"
CARD = "README.md"
_UNMEASURED = Probe((0.0,) * 8, (0.0,) * 8)


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
    examples: Sequence[str] = (),
) -> BrandPack:
    """Write a new pack into `destination`, which appears whole or not at all, and read it back.

    Steps, guidance and shift are the model's own where they aren't given. `probe` fuses the LoRA with the base, which
    shows whether they fit, and measures what every loaded model is compared with.

    Raises:
        ConfigError: the destination exists, a setting can't be in a manifest, or alpha is missing or another than the
            file's.
        WeightsMissing, WeightsUnusable: the LoRA or the base can't be used, or they don't fit each other.
        DataDirUnwritable: the destination cannot be written.
    """
    model = MODELS.get(base.manifest.model)
    if model is None:
        raise ModelUnknown(f"This base is for a model that this version can't load: it has {', '.join(MODELS)}.")
    if destination.exists():
        raise ConfigError(f"{destination} exists, and a brand pack never changes: name a folder that isn't there yet.")
    found = describe(lora_file)
    manifest = _checked(
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
            lora=Lora(LORA, found.rank, _alpha(lora_file, found, alpha), scale, found.modules),
            probe=_UNMEASURED,
            files=(ManifestFile(LORA, 0, "0" * 64),),
            examples=tuple(examples),
        )
    )
    partial = destination.with_name(f".{destination.name}.{uuid4().hex}")
    try:
        with _writing(destination):
            partial.mkdir(parents=True)
            shutil.copyfile(lora_file, partial / LORA)
        measured = probe(base, partial / LORA, manifest.lora)
        with _writing(destination):
            _write(partial, replace(manifest, probe=measured), base)
            partial.rename(destination)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return load_pack(destination)


def _alpha(lora_file: Path, found: Description, given: float | None) -> float:
    if found.alpha is None and given is None:
        raise ConfigError(
            f"{lora_file.name} doesn't say its alpha, which decides how strong it is: give the one it was trained with"
            f" (ai-toolkit's is the rank, here {found.rank})."
        )
    if found.alpha is not None and given not in (None, found.alpha):
        raise ConfigError(f"{lora_file.name} was trained with alpha {found.alpha:g}: give the same, or none.")
    return float(found.alpha if given is None else given)  # type: ignore[arg-type]


def _checked(manifest: Manifest) -> Manifest:
    """As it will be read back; what can't be is said before anything is measured."""
    try:
        return TypeAdapter(Manifest).validate_json(canonical(asdict(manifest)))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise ConfigError(f"The brand pack can't have this {where}: {first['msg']}.") from None


@contextmanager
def _writing(destination: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataDirUnwritable(f"{destination} can't be written ({error.strerror}): name another folder.") from error


def _write(partial: Path, manifest: Manifest, base: Base) -> None:
    """The card, then the manifest: canonical, so that its SHA-256 is the pack's id."""
    (partial / CARD).write_text(card(manifest, base.manifest), encoding="utf-8", newline="\n")
    files = tuple(_described(partial / path) for path in (CARD, LORA))
    (partial / MANIFEST).write_bytes(canonical(asdict(replace(manifest, files=files))))


def _described(path: Path) -> ManifestFile:
    with path.open("rb") as stream:
        checksum = hashlib.file_digest(stream, "sha256").hexdigest()
    return ManifestFile(path.name, path.stat().st_size, checksum)
