"""From a base and a brand pack to an `Pipeline` in memory: streamed, verified, strict.

Text encoders come first, so that a prompt can be read while the transformer still streams. Networks are built without
memory and filled as their tensors arrive; the brand's LoRA is fused on the way. There is no pickle, no remote code, and
no network besides the object store.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from onbrand.config import PrecisionChoice
from onbrand.errors import ModelUnknown, NotEnoughMemory, PrecisionUnsupported
from onbrand.hidream import health
from onbrand.hidream.decoding.decode import Decoder, KlDecoder, decode_kl
from onbrand.hidream.decoding.preview import fit_decoder
from onbrand.hidream.decoding.vae import PcaDecoder, PcaVae
from onbrand.hidream.memory import Placement, Plan, Sizes, plan
from onbrand.hidream.models import MODELS, Model, Precision
from onbrand.hidream.network.transformer import empty_transformer, offload_blocks
from onbrand.hidream.pipeline import Pipeline
from onbrand.hidream.text.embedding_cache import PromptCache
from onbrand.hidream.text.encoders import load_text_encoder
from onbrand.hidream.weights.fuse import fused
from onbrand.hidream.weights.load_state import fill
from onbrand.hidream.weights.lora import read_adapter
from onbrand.hidream.weights.prequantized import load_artefact
from onbrand.hidream.weights.stream import tensors
from onbrand.packs.base import Base
from onbrand.packs.manifest import BrandPack, Lora, Probe
from onbrand.storage.files import Folder

_CGROUP = Path("/sys/fs/cgroup")
_KEPT_FREE = 0.9  # of a CPU's free memory: other programs need some too


@dataclass(frozen=True)
class Stage:
    """A part of loading that has ended."""

    name: str  # encoders, transformer, decoder or check
    seconds: float
    size: int  # bytes read for it


class Stages:
    """Times the parts of loading and counts what is read."""

    def __init__(self, on_stage: Callable[[Stage], None]) -> None:
        self._on_stage = on_stage
        self._read = 0

    def count(self, size: int) -> None:
        """So many bytes more were read."""
        self._read += size

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What runs inside is a part of loading; one that fails is not reported."""
        self._read, started = 0, time.monotonic()
        yield
        self._on_stage(Stage(name, time.monotonic() - started, self._read))


@contextmanager
def _telling_of_memory() -> Iterator[None]:
    """What was reckoned to fit may not: the working memory is an estimate, and other programs take some."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise NotEnoughMemory(
            "The GPU's memory ran out while the model was loaded. Give the GPU to Onbrand alone, or set"
            " ONBRAND_PRECISION=int8."
        ) from error


@_telling_of_memory()
def load_pipeline(
    base: Base,
    pack: BrandPack,
    *,
    precision: PrecisionChoice = PrecisionChoice.AUTO,
    artefacts: Folder | None = None,
    cache: Path | None = None,
    on_plan: Callable[[str], None] = lambda _: None,
    on_stage: Callable[[Stage], None] = lambda _: None,
    on_encoder: Callable[[Callable[[str], object]], None] = lambda _: None,
) -> Pipeline:
    """Load the base's weights with the pack's LoRA, onto a GPU if there is one, and check that they answer.

    `artefacts` may hold derived weights (`derive.py`), which are taken if they are there. `cache` is for the small
    files of a base that isn't on this machine. `on_plan` hears what was chosen for the memory there is, `on_stage` what
    has been loaded; `on_encoder` gets a function that reads a prompt and remembers it, while the transformer still
    streams.

    Raises:
        WeightsMissing: a file is not there.
        PackUnfit: the pack was made for another base.
        ModelUnknown: this version cannot load the base's model.
        FileDamaged: a file differs from the manifest or cannot be read.
        NetworkConfigInvalid, TokenizerInvalid, TensorsMismatch: a component is not what the model needs.
        LoraInvalid, LoraManifestMismatch, LoraBaseMismatch, LoraWithoutEffect: the LoRA cannot be used.
        PreparedWeightsDamaged: the prepared weights in `artefacts` are damaged.
        ModelOutputInvalid, ProbeMismatch: the loaded transformer does not answer as recorded.
        NotEnoughMemory: there is too little memory.
        PrecisionUnsupported: the model does not know the precision.
    """
    base.require_fit(pack.manifest)
    manifest, model = pack.manifest, _model(base)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chosen = choose(base, model, device, precision)
    on_plan(f"{model.title} on {_name(device)}: {chosen}")
    stages = Stages(on_stage)
    with stages.stage("encoders"):
        pack.verify()
        encoder = load_text_encoder(
            base,
            model,
            token_limit=manifest.prompt_token_limit,
            precision=chosen.precision,
            device=device if chosen.placement is Placement.ALL else torch.device("cpu"),
            visits=None if chosen.placement is Placement.ALL else device,
            artefacts=artefacts,
            directory=cache,
            on_bytes=stages.count,
        )
    prompts = PromptCache()
    on_encoder(lambda prompt: prompts.get_or_encode(encoder, prompt, manifest.prompt_suffix))
    with stages.stage("transformer"):
        adapter = (pack.path(manifest.lora.file), manifest.lora)
        transformer = _from_artefact(artefacts, pack.id, base, chosen, device, stages.count)
        if transformer is None:
            transformer = load_transformer(base, adapter, chosen, device, stages.count)
    with stages.stage("decoder"):
        decoder = load_decoder(base, model, chosen.precision, device, stages.count)
    with stages.stage("check"):
        health.check(health.probe_output(transformer), manifest.probe)
    return Pipeline(pack.pack, manifest, transformer, encoder, decoder, chosen, prompts)


def probe_lora(base: Base, lora_file: Path, lora: Lora) -> Probe:
    """What a pack of this base and LoRA records: the transformer is loaded without and with it, in turn.

    Raises:
        WeightsMissing, WeightsUnusable, NotEnoughMemory: as for `load_pipeline`.
        LoraWithoutEffect: the LoRA changes next to nothing.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chosen = choose(base, _model(base), device, PrecisionChoice.AUTO)
    answers = []
    for adapter in (None, (lora_file, lora)):
        answers.append(health.probe_output(load_transformer(base, adapter, chosen, device)))
        gc.collect()  # one with offloaded blocks refers to itself
    return health.probe(*answers)


def choose(base: Base, model: Model, device: torch.device, precision: PrecisionChoice) -> Plan:
    """What of the model goes where on this device, at which precision.

    Raises:
        NotEnoughMemory: there is too little memory.
        PrecisionUnsupported: the model does not know the precision.
    """
    on_gpu = device.type == "cuda"
    known = model.precisions if on_gpu else tuple(reversed(model.precisions))  # a CPU is quickest in float32
    wanted = known if precision is PrecisionChoice.AUTO else (Precision(precision.value),)
    if wanted[0] not in known:
        raise PrecisionUnsupported(
            f"{model.title} can't be held as {wanted[0]}; set ONBRAND_PRECISION to one of {', '.join(known)}."
        )
    free = torch.cuda.mem_get_info()[0] if on_gpu else int(_KEPT_FREE * _free_host_memory())
    return plan(Sizes.of(base), free, wanted, can_offload=on_gpu)


def _free_host_memory() -> int:
    """Bytes; in a container those that its limit leaves. https://docs.kernel.org/admin-guide/cgroup-v2.html"""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # another system, no container, or no limit ("max")
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
    """The base's transformer, in evaluation mode, with the LoRA fused in fp32 as its tensors arrive; None: without.

    Raises:
        WeightsMissing, WeightsUnusable: as for `load_pipeline`.
    """
    stream: Iterable[tuple[str, Tensor]] = tensors(base.folder, base.within("transformer"), on_bytes=on_bytes)
    if adapter is not None:
        stream = fused(stream, read_adapter(*adapter), device)
    return _filled(base, stream, chosen, device)


def _from_artefact(
    artefacts: Folder | None,
    pack_id: str,
    base: Base,
    chosen: Plan,
    device: torch.device,
    on_bytes: Callable[[int], None],
) -> Any:
    """The transformer with its LoRA from weights derived before; None if there are none for this precision."""
    artefact = None if artefacts is None else load_artefact(artefacts, pack_id, "transformer", chosen.precision)
    if artefact is None:
        return None
    return _filled(base, artefact.tensors(on_bytes=on_bytes), chosen, device)


def _filled(base: Base, stream: Iterable[tuple[str, Tensor]], chosen: Plan, device: torch.device) -> Any:
    are_blocks_away = chosen.placement is Placement.WITHOUT_BLOCKS
    transformer = empty_transformer(_config(base, "transformer"), chosen.precision)
    transformer = transformer.to_empty(device=torch.device("cpu") if are_blocks_away else device).eval()
    fill(transformer, stream)
    if are_blocks_away:
        offload_blocks(transformer, device)
    return transformer


def load_decoder(
    base: Base, model: Model, precision: Precision, device: torch.device, on_bytes: Callable[[int], None]
) -> Decoder:
    """The base's decoder; errors as for `load_pipeline`."""
    config = _config(base, "vae")
    stream = tensors(base.folder, base.within("vae"), on_bytes=on_bytes)
    if model.decoder == "pca":
        with torch.device("meta"):
            network = PcaVae(config["latent_channels"], config["w16"], config["w128"], config["w256"])
        fill(network.to_empty(device=device), stream)
        return PcaDecoder(network.eval(), 2 ** (len(config["block_out_channels"]) - 1))
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    dtype = torch.float32 if precision is Precision.FLOAT32 else torch.bfloat16
    with torch.device("meta"):
        vae = nn.Module.to(AutoencoderKL.from_config(config), dtype)  # diffusers' own `to` prints what it can't know
    vae.encoder = vae.quant_conv = None  # for pictures to latents, which nobody asks for
    fill(vae.to_empty(device=device), stream, ignored=lambda name: name.startswith(("encoder.", "quant_conv.")))
    vae.eval()
    return KlDecoder(vae, fit_decoder(lambda latents: decode_kl(vae, latents), vae.config.latent_channels))


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
