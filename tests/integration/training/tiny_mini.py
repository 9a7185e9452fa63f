"""The mini at tiny size: diffusers' transformer with routed experts and random weights, MiniLM, a small decoder.

A run on it takes a second: 8×8 latents, 2 + 2 blocks.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from onbrand.config import REPOSITORY
from onbrand.dataset.reader import Dataset, read_dataset
from onbrand.hidream.decoding.vae import COMPONENTS, PcaVae
from onbrand.hidream.models import Precision
from onbrand.hidream.network.transformer import Transformer, empty_transformer
from onbrand.packs.base import BASE_MANIFEST, Base, load_base
from onbrand.storage.files import LocalFolder
from onbrand.training.settings import Choices
from tests.studio import write_studio

CHANNELS = 4
SIDE = 512  # pixels: 8×8 latents
CONFIG = {
    "_class_name": "HiDreamImageTransformer2DModel",
    "patch_size": 2,
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "num_layers": 2,
    "num_single_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "caption_channels": [384, 384],
    "text_emb_dim": 384,
    "num_routed_experts": 4,
    "num_activated_experts": 2,
    "axes_dims_rope": [8, 4, 4],
    "max_resolution": [16, 16],
    "llama_layers": [1, 3, 5, 0],
}
WIDTHS = {"w16": 8, "w128": 4, "w256": 2}
QUICK = Choices(steps=6, checkpoint_every=2, batch=2, at_once=2, side=SIDE, learning_rate=0.05, warmup=1)


def tiny_weights(precision: Precision = Precision.FLOAT32, seed: int = 0) -> Transformer:
    """The transformer alone, with random weights."""
    torch.manual_seed(seed)
    transformer: Transformer = empty_transformer(CONFIG, precision).to_empty(device="cpu").eval()
    with torch.no_grad():
        for name, parameter in transformer.named_parameters():
            if parameter.dtype == torch.int8:
                parameter.copy_(torch.randint(-127, 128, parameter.shape))
            elif name.endswith("_scale"):
                parameter.fill_(0.001)
            elif parameter.dim() > 1:
                parameter.normal_(std=1.5 * parameter.shape[-1] ** -0.5)
            else:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
    return transformer


def tiny_mini_base(directory: Path, seed: int = 0, *, blocks: int = 2, contrast: float = 4.0) -> Base:
    """A base of the model `mini` in a folder, with its manifest.

    With one block of each kind it draws sooner, and with little contrast its pictures are stored sooner.
    """
    of_blocks = {"num_layers": blocks, "num_single_layers": blocks, "llama_layers": [1, 3, 5, 0][-2 * blocks :]}
    encoder = directory / "text_encoder"
    shutil.copytree(REPOSITORY / "models" / "mini" / "text_encoder", encoder, copy_function=_linked)
    _write(directory / "transformer", CONFIG | of_blocks, {})
    config = {"_class_name": "PcaVae", "block_out_channels": [1] * 7, "latent_channels": CHANNELS, **WIDTHS}
    torch.manual_seed(seed)
    vae = PcaVae(CHANNELS, **WIDTHS)
    with torch.no_grad():
        vae.V.copy_(torch.linalg.qr(torch.randn(COMPONENTS, CHANNELS))[0])
        vae.scale.fill_(contrast)
    _write(directory / "vae", config, dict(vae.state_dict()))
    # As diffusers names them: each expert's matrices apart.
    from diffusers import HiDreamImageTransformer2DModel

    torch.manual_seed(seed)
    network: Any = HiDreamImageTransformer2DModel.from_config(CONFIG | of_blocks)
    _write(directory / "transformer", CONFIG | of_blocks, dict(network.state_dict()))
    sources = [{"folder": name, "repository": "", "revision": ""} for name in ("text_encoder", "transformer", "vae")]
    manifest = {"schema": 1, "model": "mini", "sources": sources, "files": _files(directory)}
    (directory / BASE_MANIFEST).write_text(json.dumps(manifest), "utf-8")
    return load_base(LocalFolder(directory))


def small_set(folder: Path, count: int = 5) -> Dataset:
    """A studio's illustrations, read."""
    return read_dataset(write_studio(folder, count))


def _linked(source: str, target: str) -> None:
    Path(target).symlink_to(source)


def _write(folder: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    if tensors:
        save_file(tensors, folder / "diffusion_pytorch_model.safetensors", {"format": "pt"})


def _files(directory: Path) -> list[dict[str, Any]]:
    found = (path for path in sorted(directory.rglob("*")) if path.is_file() and path.name != BASE_MANIFEST)
    return [
        {
            "path": path.relative_to(directory).as_posix(),
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in found
    ]
