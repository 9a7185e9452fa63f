"""Load a base and a brand pack into a `Pipeline`: the weights are streamed, and every byte is verified.

The text encoders are loaded first, so that a prompt can be encoded while the transformer is still being read. A network
is built without memory (on the meta device) and filled while its tensors arrive; the brand's LoRA is added to them on
the way. Loading reads no pickle, runs no downloaded code, and opens no connection except to the object store.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from onbrand.config import PrecisionChoice
from onbrand.errors import ModelUnknown, NotEnoughMemory, PrecisionUnsupported
from onbrand.hidream import health
from onbrand.hidream.decoding.decode import Decoder, KlDecoder, decode_kl
from onbrand.hidream.decoding.load_vae import load_vae, scale_factor
from onbrand.hidream.decoding.preview import fit_decoder_projection
from onbrand.hidream.decoding.vae import PcaDecoder, PcaVae
from onbrand.hidream.memory import Placement, Plan, Sizes, plan
from onbrand.hidream.models import MODELS, Model, Precision
from onbrand.hidream.network.transformer import empty_transformer, offload_blocks
from onbrand.hidream.pipeline import Pipeline
from onbrand.hidream.text.embedding_cache import EmbeddingCache
from onbrand.hidream.text.load_encoders import load_text_encoder
from onbrand.hidream.weights.fuse import fuse_lora
from onbrand.hidream.weights.load_state import load_state
from onbrand.hidream.weights.lora import read_adapter
from onbrand.hidream.weights.prepared import load_prepared
from onbrand.hidream.weights.stream import stream_tensors
from onbrand.packs.base import Base
from onbrand.packs.manifest import BrandPack, Lora, Manifest, Probe
from onbrand.storage.files import Folder

_CGROUP = Path("/sys/fs/cgroup")
_USABLE_SHARE = 0.9  # of the free host memory; other programs need the rest


@dataclass(frozen=True)
class Stage:
    """A finished part of loading."""

    name: str  # encoders, transformer, decoder or check
    seconds: float
    size: int  # bytes that were read


class StageTimer:
    """Measures the seconds and bytes of each part of loading."""

    def __init__(self, on_stage: Callable[[Stage], None]) -> None:
        self._on_stage = on_stage
        self._read = 0

    def count(self, size: int) -> None:
        """Add `size` bytes to the current part."""
        self._read += size

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the `with` block as one part of loading. A block that raises is not reported."""
        self._read, started = 0, time.monotonic()
        yield
        self._on_stage(Stage(name, time.monotonic() - started, self._read))


@contextmanager
def _explain_out_of_memory() -> Iterator[None]:
    """Turn an out-of-memory error into advice.

    It can happen although the plan fitted: the working memory is an estimate, and other programs use the GPU too.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise NotEnoughMemory(
            "The GPU's memory ran out while the model was loaded. Give the GPU to Onbrand alone, or set"
            " ONBRAND_PRECISION=int8."
        ) from error


@_explain_out_of_memory()
def load_pipeline(
    base: Base,
    pack: BrandPack,
    *,
    precision: PrecisionChoice = PrecisionChoice.AUTO,
    prepared_folder: Folder | None = None,
    cache: Path | None = None,
    with_lora: bool = True,
    on_plan: Callable[[str], None] = lambda _: None,
    on_stage: Callable[[Stage], None] = lambda _: None,
    on_encoder: Callable[[Callable[[str], object]], None] = lambda _: None,
) -> Pipeline:
    """Load the base's weights with the pack's LoRA, onto a GPU if there is one, and check the transformer's output.

    `prepared_folder` may contain prepared weights (`weights/prepared.py`); they are used if they are there. `cache` is
    a directory for the small files of a base that is in the object store. Without `with_lora`, the pipeline draws as
    the bare base does: with the pack's steps and guidance, but with neither its LoRA nor its suffix. `on_plan` is
    called with the chosen plan as text, `on_stage` after each part. `on_encoder` is called before the transformer is
    loaded, with a function that encodes a prompt and stores the embeddings in the pipeline's cache.

    Raises:
        WeightsMissing: a file does not exist.
        PackUnfit: the pack was made for another base.
        ModelUnknown: this version cannot load the base's model.
        FileDamaged: a file differs from the manifest or cannot be read.
        NetworkConfigInvalid, TokenizerInvalid, TensorsMismatch: a component is not what the model needs.
        LoraInvalid, LoraManifestMismatch, LoraBaseMismatch, LoraWithoutEffect: the LoRA cannot be used.
        PreparedWeightsDamaged: the prepared weights are damaged.
        ModelOutputInvalid, ProbeMismatch: the loaded transformer does not give the recorded output.
        NotEnoughMemory: there is too little memory.
        PrecisionUnsupported: the model does not know the precision.
    """
    base.require_fit(pack.manifest)
    manifest, model = pack.manifest if with_lora else _without_lora(pack.manifest), _model(base)
    device = find_device()
    chosen = plan_for_device(base, model, device, precision)
    on_plan(f"{model.title} on {_name(device)}: {chosen}")
    stages = StageTimer(on_stage)
    with stages.stage("encoders"):
        pack.verify()
        base.verify_small_files()  # the weights are compared while they are streamed
        encoder = load_text_encoder(
            base,
            model,
            token_limit=manifest.prompt_token_limit,
            precision=chosen.precision,
            device=device if chosen.placement is Placement.ALL else torch.device("cpu"),
            onload_device=None if chosen.placement is Placement.ALL else device,
            prepared_folder=prepared_folder,
            directory=cache,
            on_bytes=stages.count,
        )
    prompts = EmbeddingCache()
    on_encoder(lambda prompt: prompts.get_or_encode(encoder, prompt, manifest.prompt_suffix))
    with stages.stage("transformer"):
        adapter = (pack.path(manifest.lora.file), manifest.lora) if with_lora else None
        transformer = None
        if with_lora:
            transformer = _prepared_transformer(prepared_folder, pack.id, base, chosen, device, stages.count)
        if transformer is None:
            transformer = load_transformer(base, adapter, chosen, device, stages.count)
    with stages.stage("decoder"):
        decoder = load_decoder(base, model, chosen.precision, device, stages.count)
    with stages.stage("check"):
        health.check_probe(health.probe_output(transformer), manifest.probe, chosen.precision)
    return Pipeline(pack.pack, manifest, transformer, encoder, decoder, chosen, prompts)


def _without_lora(manifest: Manifest) -> Manifest:
    """The settings of the bare base: no suffix, and the output that the probe records without the LoRA is expected."""
    return replace(manifest, prompt_suffix="", probe=Probe(base=manifest.probe.fused, fused=manifest.probe.base))


def probe_lora(base: Base, lora_file: Path, lora: Lora) -> Probe:
    """Make the probe of a new pack: load the transformer without the LoRA, then with it, and record both outputs.

    Raises:
        WeightsMissing, WeightsUnusable, NotEnoughMemory: as for `load_pipeline`.
        LoraWithoutEffect: the LoRA changes almost nothing.
    """
    device = find_device()
    chosen = plan_for_device(base, _model(base), device, PrecisionChoice.AUTO)
    outputs = []
    for adapter in (None, (lora_file, lora)):
        outputs.append(health.probe_output(load_transformer(base, adapter, chosen, device)))
        gc.collect()  # a transformer with offloaded blocks is a reference cycle
    return health.make_probe(outputs[0], outputs[1], chosen.precision)


def find_device() -> torch.device:
    """Where pictures are drawn: on the GPU, if torch sees one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def plan_for_device(base: Base, model: Model, device: torch.device, precision: PrecisionChoice) -> Plan:
    """Choose the precision, and which parts of the model stay on `device`.

    Raises:
        NotEnoughMemory: there is too little memory.
        PrecisionUnsupported: the model does not support the precision.
    """
    on_gpu = device.type == "cuda"
    known = model.precisions if on_gpu else tuple(reversed(model.precisions))  # a CPU is fastest in float32
    wanted = known if precision is PrecisionChoice.AUTO else (Precision(precision.value),)
    if wanted[0] not in known:
        raise PrecisionUnsupported(
            f"{model.title} does not support the precision {wanted[0]}: set ONBRAND_PRECISION to one of"
            f" {', '.join(known)}."
        )
    return plan(Sizes.of(base), free_memory(device), wanted, can_offload=on_gpu)


def free_memory(device: torch.device) -> int:
    """Bytes that a model may take on the device."""
    return torch.cuda.mem_get_info()[0] if device.type == "cuda" else int(_USABLE_SHARE * _free_host_memory())


def _free_host_memory() -> int:
    """Free bytes, within the limit of the container if there is one.

    https://docs.kernel.org/admin-guide/cgroup-v2.html
    """
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # not Linux, no container, or no limit ("max")
        limit, used = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, limit - used)
    return free


def load_transformer(
    base: Base,
    adapter: tuple[Path, Lora] | None,
    chosen: Plan,
    device: torch.device,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Any:
    """Load the base's transformer, in evaluation mode. If an adapter is given, it is fused in float32.

    Raises:
        WeightsMissing, WeightsUnusable: as for `load_pipeline`.
    """
    stream: Iterable[tuple[str, Tensor]] = stream_tensors(base.folder, base.within("transformer"), on_bytes=on_bytes)
    if adapter is not None:
        stream = fuse_lora(stream, read_adapter(*adapter), device)
    return _build_transformer(base, stream, chosen, device)


def _prepared_transformer(
    prepared_folder: Folder | None,
    pack_id: str,
    base: Base,
    chosen: Plan,
    device: torch.device,
    on_bytes: Callable[[int], None],
) -> Any:
    """Load the transformer with its LoRA from prepared weights; None if there are none for this precision."""
    if prepared_folder is None:
        return None
    prepared = load_prepared(prepared_folder, pack_id, "transformer", chosen.precision)
    if prepared is None:
        return None
    return _build_transformer(base, prepared.tensors(on_bytes=on_bytes), chosen, device)


def _build_transformer(base: Base, stream: Iterable[tuple[str, Tensor]], chosen: Plan, device: torch.device) -> Any:
    are_blocks_offloaded = chosen.placement is Placement.WITHOUT_BLOCKS
    transformer = empty_transformer(_config(base, "transformer"), chosen.precision)
    transformer = transformer.to_empty(device=torch.device("cpu") if are_blocks_offloaded else device).eval()
    load_state(transformer, stream)
    if are_blocks_offloaded:
        offload_blocks(transformer, device)
    return transformer


def load_decoder(
    base: Base, model: Model, precision: Precision, device: torch.device, on_bytes: Callable[[int], None]
) -> Decoder:
    """Load the base's decoder. Raises the errors of `load_pipeline`."""
    vae = load_vae(base, model, precision, device, on_bytes)
    if isinstance(vae, PcaVae):
        return PcaDecoder(vae, scale_factor(base))
    return KlDecoder(vae, fit_decoder_projection(lambda latents: decode_kl(vae, latents), vae.config.latent_channels))


def _model(base: Base) -> Model:
    model = MODELS.get(base.manifest.model)
    if model is None:
        raise ModelUnknown(f"This is a model that this version can't load; it has {', '.join(MODELS)}.")
    return model


def _config(base: Base, component: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(base.read(f"{component}/config.json"))
    return document


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
