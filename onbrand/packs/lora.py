"""What a LoRA file contains, read strictly and without torch: it must be exactly what the brand pack's manifest says.

diffusers 0.42 ignores unknown keys. A LoRA with another trainer's key names loads without an error and changes nothing,
and a LoRA without an alpha loads at another strength. Therefore nothing is guessed here. Two kinds of key names are
read: diffusers', and those of ai-toolkit and ComfyUI. For everything else in a file the error names the key.
`lora_settings` reads the header's texts. `hidream.weights.lora` makes tensors of the matrices.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import PurePosixPath

from onbrand.errors import LoraBaseMismatch, LoraInvalid, LoraManifestMismatch, LoraWithoutEffect
from onbrand.packs.base import Base
from onbrand.packs.lora_numbers import read_numbers
from onbrand.packs.lora_settings import EXPORT, claims, shown
from onbrand.packs.manifest import Lora, Manifest
from onbrand.storage.files import Folder
from onbrand.storage.safetensors_header import FormatError, TensorEntry, read_header

_PREFIXES = ("transformer.", "diffusion_model.")  # diffusers; ai-toolkit and ComfyUI. peft itself writes no prefix
_KEY = re.compile(r"(?P<module>.+)\.((?P<down>lora_(A|down)\.weight)|(?P<up>lora_(B|up)\.weight)|(?P<alpha>alpha))")
_DTYPES = ("F32", "F16", "BF16")  # float32 represents all of them exactly
_ROUTER = re.compile(r"(^|\.)gate$")
_PICKLES = (b"\x80", b"PK\x03\x04")  # torch.save without and with a zip archive
_HEADER_AT = 8  # the header begins after the 8 bytes of its length
# Patterns of the keys of other adapters, and what the error says about them.
_UNSUPPORTED = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (
            r"^lora_(unet|transformer|te)\d*_",
            "has the key names of kohya's scripts, from which a module's name cannot be restored",
        ),
        (r"^base_model\.model\.", "has the key names of peft's save_pretrained, which are for a wrapped model"),
        (r"^(text_encoder|te)s?(_?\d)?\.", "adapts a text encoder, but only the transformer can be adapted"),
        (r"dora_scale$|lora_magnitude_vector", "is a DoRA, whose effect is not a sum of matrices"),
        (r"\.(lokr|hada|oft|boft)_", "is a LoKr, LoHa or another adapter of LyCORIS, not a LoRA"),
    )
)


@dataclass(frozen=True)
class Matrices:
    """The two matrices of one module, `down` (rank, in) and `up` (out, rank), by their keys in the file."""

    down: str
    up: str
    shape: tuple[int, int]  # (out, in), as the weight that they change


@dataclass(frozen=True)
class Description:
    """What a LoRA file contains. `alpha` is None if the file does not have it, as those of ai-toolkit."""

    rank: int
    alpha: float | None
    matrices: Mapping[str, Matrices]  # by the transformer's module names, sorted
    idle_modules: tuple[str, ...]  # one of their matrices is zero, so nothing is changed

    @property
    def modules(self) -> tuple[str, ...]:
        """The adapted modules, sorted."""
        return tuple(self.matrices)


def inspect_pack(folder: Folder, manifest: Manifest, base: Base | None) -> Description:
    """Read the LoRA of a pack, and compare it with the manifest and, if the pack was made for it, with the base.

    Checksums are not compared here, but in `BrandPack.verify` and `PackStore`.

    Raises:
        LoraInvalid, LoraManifestMismatch, LoraWithoutEffect, LoraBaseMismatch: the LoRA cannot be used.
        WeightsMissing, FileDamaged: a file of the pack or of the base is missing or damaged.
        ObjectStoreRefused, ObjectStoreUnreachable: as for `ByteReader.readinto`.
    """
    lora = manifest.lora
    size = next(file.size for file in manifest.files if file.path == lora.file)
    found = describe_lora(folder, lora.file, size)
    require_described(shown(PurePosixPath(lora.file).name), found, lora)
    for module in found.idle_modules:
        raise LoraWithoutEffect(f"The LoRA does not change {shown(module)}: train it longer, or without this module.")
    if base is not None and base.id == manifest.base:
        _require_fit(found, base.shapes("transformer"))
    return found


def require_described(name: str, found: Description, lora: Lora) -> None:
    """Do nothing if modules, rank and alpha of a file are those of a manifest.

    Raises:
        LoraManifestMismatch: they differ. If the file has no alpha, the manifest's counts.
    """
    for module in sorted({*found.modules} - {*lora.adapted_modules}):
        raise _mismatch(name, f"adapts {shown(module)}, which the pack's manifest does not name")
    for module in sorted({*lora.adapted_modules} - {*found.modules}):
        raise _mismatch(name, f"does not adapt {shown(module)}, which the pack's manifest names")
    if found.rank != lora.rank:
        raise _mismatch(name, f"has rank {found.rank}, but the pack's manifest says {lora.rank}")
    if found.alpha not in (None, lora.alpha):
        raise _mismatch(name, f"has alpha {found.alpha:g}, but the pack's manifest says {lora.alpha:g}")


def _mismatch(name: str, what: str) -> LoraManifestMismatch:
    return LoraManifestMismatch(f"{name} {what}: restore the pack's own file, or build a new pack from this one.")


def _require_fit(found: Description, shapes: Mapping[str, tuple[int, ...]]) -> None:
    for module, matrices in found.matrices.items():
        shape = shapes.get(f"{module}.weight")
        if shape is None:
            raise LoraBaseMismatch(
                f"The LoRA adapts {shown(module)}, which the base does not have: use the base it was trained on."
            )
        if shape != matrices.shape:
            raise LoraBaseMismatch(
                f"The LoRA changes {'×'.join(map(str, matrices.shape))} numbers of {shown(module)}, but the base has"
                f" {'×'.join(map(str, shape))} there: use the base it was trained on."
            )


def describe_lora(folder: Folder, path: str, size: int) -> Description:
    """Read a LoRA file of `size` bytes to its end.

    Raises:
        LoraInvalid: it is not a LoRA that can be used; the message says why and what to do.
        WeightsMissing, FileDamaged, ObjectStoreRefused, ObjectStoreUnreachable: as for `ByteReader.readinto`.
    """
    name = shown(PurePosixPath(path).name)
    with closing(folder.open(path)) as reader:
        try:
            header = read_header(reader, size)
            _require_float(name, header.entries)
            parts = _parts(name, {entry.name: entry for entry in header.entries})
            numbers = read_numbers(reader, header.entries)
        except FormatError as error:
            raise _not_safetensors(name, _beginning(folder, path), error) from None
    for module, part in parts.items():
        for entry in part.values():
            if not numbers[entry.name].is_finite and not entry.name.endswith(".alpha"):
                raise LoraInvalid(
                    f"{name} has for {shown(module)} a number that is not finite: its training failed; take an earlier"
                    " checkpoint."
                )
    matrices = {module: _matrices(name, module, parts[module]) for module in sorted(parts)}
    ranks = {module: float(parts[module]["down"].shape[0]) for module in matrices}
    alphas = {
        module: _alpha(name, module, part["alpha"], numbers[part["alpha"].name].first)
        for module, part in parts.items()
        if "alpha" in part
    }
    if alphas and len(alphas) < len(parts):
        raise LoraInvalid(f"{name} has an alpha for some modules, but not for all: {EXPORT}.")
    said = claims(name, header.metadata)
    rank = _same(name, "rank", {**ranks, **said.rank})
    alpha = _same(name, "alpha", {**alphas, **said.alpha}) if alphas or said.alpha else None
    idle = tuple(module for module, one in matrices.items() if numbers[one.down].is_zero or numbers[one.up].is_zero)
    return Description(int(rank), alpha, matrices, idle)


def _beginning(folder: Folder, path: str) -> bytes:
    room = bytearray(_HEADER_AT + 1)
    with closing(folder.open(path)) as reader:
        return bytes(room[: reader.readinto(memoryview(room))])


def _not_safetensors(name: str, first: bytes, error: FormatError) -> LoraInvalid:
    if not first:
        return LoraInvalid(f"{name} is empty: copy the LoRA again.")
    if first.endswith(b"{"):
        return LoraInvalid(f"{name} is cut short or damaged ({error}): copy the LoRA again.")
    if first.startswith(_PICKLES):
        return LoraInvalid(f"{name} is a pickle, which can run code, so it is not read: {EXPORT}.")
    return LoraInvalid(f"{name} is not a safetensors file: {EXPORT}.")


def _require_float(name: str, entries: Collection[TensorEntry]) -> None:
    for entry in entries:
        if entry.dtype not in _DTYPES:
            raise LoraInvalid(
                f"{name} has {shown(entry.name)} as {entry.dtype}, not as 32-bit or 16-bit float: {EXPORT}."
            )


def _parts(name: str, entries: Mapping[str, TensorEntry]) -> dict[str, dict[str, TensorEntry]]:
    """The parts of each module's update, by module."""
    prefix = _prefix(name, entries)
    parts: dict[str, dict[str, TensorEntry]] = {}
    for key in sorted(entries):
        module, part = _parsed(name, key.removeprefix(prefix))
        if part in parts.setdefault(module, {}):
            raise LoraInvalid(f"{name} has the same matrix twice ({shown(key)}): {EXPORT}.")
        parts[module][part] = entries[key]
    return parts


def _prefix(name: str, keys: Collection[str]) -> str:
    """The prefix of all keys: one of `_PREFIXES`, or none."""
    if not keys:
        raise LoraInvalid(f"{name} has no matrices: {EXPORT}.")
    for key in sorted(keys):
        for pattern, reason in _UNSUPPORTED:
            if pattern.search(key):
                raise LoraInvalid(f"{name} {reason} ({shown(key)}): {EXPORT}.")
    for prefix in _PREFIXES:
        others = sorted(key for key in keys if not key.startswith(prefix))
        if not others:
            return prefix
        if len(others) < len(keys):
            raise LoraInvalid(f"{name} mixes {prefix}… with other names ({shown(others[0])}): {EXPORT}.")
    return ""


def _parsed(name: str, key: str) -> tuple[str, str]:
    """Split a key into the module's name and the part of its update: down, up or alpha."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise LoraInvalid(f"{name} has {shown(key)}, which is not part of a LoRA: {EXPORT}.")
    if _ROUTER.search(match["module"]):
        raise LoraInvalid(
            f"{name} adapts the router {shown(match['module'])}, which chooses the experts: train it without routers."
        )
    return match["module"], next(part for part in ("down", "up", "alpha") if match[part])


def _matrices(name: str, module: str, part: Mapping[str, TensorEntry]) -> Matrices:
    where = f"{name} has for {shown(module)}"
    if not {"down", "up"} <= part.keys():
        raise LoraInvalid(f"{where} only one of the two matrices: copy the LoRA again, or export it again.")
    down, up = part["down"], part["up"]
    if len(down.shape) != 2 or len(up.shape) != 2:
        raise LoraInvalid(f"{where} something that is not a matrix: only linear layers can be adapted.")
    if down.shape[0] != up.shape[1] or not down.size or not up.size:
        raise LoraInvalid(f"{where} two matrices that do not fit together: {EXPORT}.")
    return Matrices(down.name, up.name, (up.shape[0], down.shape[1]))


def _alpha(name: str, module: str, entry: TensorEntry, first: bytes) -> float:
    if math.prod(entry.shape) != 1:
        raise LoraInvalid(f"{name} has for {shown(module)} an alpha that is not one number: {EXPORT}.")
    if entry.dtype == "F16":
        return float(struct.unpack("<e", first)[0])
    return float(struct.unpack("<f", first.rjust(4, b"\0"))[0])  # bfloat16 is the upper half of float32


def _same(name: str, what: str, values: Mapping[str, float]) -> float:
    """The value, which must be the same in all places of the file."""
    first, expected = next(iter(values.items()))
    for where, value in values.items():
        if not 0 < value < math.inf:
            raise LoraInvalid(f"{name} has {what} {value:g} in {shown(where)}: {EXPORT}.")
        if value != expected:
            raise LoraInvalid(
                f"{name} has {what} {expected:g} in {shown(first)}, but {value:g} in {shown(where)}:"
                f" train it with one {what}."
            )
    return expected
