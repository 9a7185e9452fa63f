"""From runs to the files that the product loads: a folder in diffusers' layout, to be pinned as a base.

Weights of the transformer are stored as float16, which changes no picture visibly (first edition: 74.8 dB on average).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.mini.recipe.art import Art
from models.mini.recipe.autoencoder import Basis
from models.mini.recipe.concepts import OWN
from models.mini.recipe.denoiser import Size
from models.mini.recipe.pictures import Cast
from models.mini.recipe.text import LAYERS
from onbrand.hidream.decoding.vae import PcaVae

_FILE = "diffusion_pytorch_model.safetensors"
_HALVINGS = 6  # 64 pixels a latent, one way


def transformer_config(size: Size) -> dict[str, Any]:
    """The configuration for inference: there MiniLM gives all six layers, in training only those that are used."""
    config = size.config()
    config["llama_layers"] = [LAYERS[index] for index in config["llama_layers"]]
    return {"_class_name": "HiDreamImageTransformer2DModel", **config}


def write_transformer(folder: Path, size: Size, weights: Mapping[str, Tensor]) -> None:
    """`config.json` and the weights as float16."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", transformer_config(size))
    halves = {name: weight.to(torch.float16).contiguous() for name, weight in sorted(weights.items())}
    save_file(halves, folder / _FILE, metadata={"format": "pt"})


def read_transformer(folder: Path, size: Size) -> dict[str, Tensor]:
    """The weights that `write_transformer` wrote, in float32, to go on training from.

    Raises:
        ValueError: they are of a network of another size.
    """
    if json.loads((folder / "config.json").read_text("utf-8")) != transformer_config(size):
        raise ValueError(f"{folder} holds a network of another size than the run's recipe.json")
    return {name: weight.float() for name, weight in load_file(folder / _FILE).items()}


def write_vae(folder: Path, vae: PcaVae, widths: tuple[int, int, int]) -> None:
    """`config.json` and the decoder's weights, with the encoder's basis, as float32."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "_class_name": "PcaVae",
        "block_out_channels": [1] * (_HALVINGS + 1),
        "latent_channels": vae.V.shape[1],
        "scaling_factor": 1.0,
        "shift_factor": 0.0,
        **dict(zip(("w16", "w128", "w256"), widths, strict=True)),
    }
    _write_json(folder / "config.json", config)
    tensors = {name: tensor.detach().float().contiguous() for name, tensor in sorted(vae.state_dict().items())}
    save_file(tensors, folder / _FILE, metadata={"format": "pt"})


def read_decoder(folder: Path) -> dict[str, Tensor]:
    """The weights that `write_vae` wrote, to go on training from."""
    return load_file(folder / _FILE)


def read_basis_of(folder: Path) -> Basis:
    """The encoder of a decoder that `write_vae` wrote, so that more data can be made for its denoiser.

    Latents are divided by the square root of their deviation, scaled to a mean variance of 1 (`denoiser.scales` with a
    spread of 0.5), so the divisor says the deviations.
    """
    tensors = load_file(folder / _FILE)
    divisor = tensors["scale"]
    return Basis(tensors["mu"], tensors["V"], divisor.square() / divisor.square().mean().sqrt())


def write_attribution(path: Path, art: Art, cast: Cast, earlier: Path | None = None) -> None:
    """Every drawing that the miniature learned from, with its author and its licence.

    `earlier` is the same file of the base that a run went on from: what was learned then is credited, too.
    """
    drawings = {concept.name: list(names) for concept, names in zip(cast.concepts, cast.drawings, strict=True)}
    before: dict[str, list[str]] = {} if earlier is None else json.loads(earlier.read_text("utf-8"))["drawings"]
    for name, names in before.items():
        drawings[name] = list(dict.fromkeys([*drawings.get(name, []), *names]))
    sets = {name.split("/", 1)[0] for names in drawings.values() for name in names} - {OWN}
    own = {"set": OWN, "name": "models/mini/recipe/drawings", "author": "Onbrand", "licence": "MIT"}
    document = {
        "about": "The drawings that the mini model was trained on: rendered, recoloured and put on simple grounds.",
        "text_encoder": {
            "model": "all-MiniLM-L6-v2",
            "authors": "the sentence-transformers project, from MiniLM by Microsoft",
            "licence": "Apache-2.0",
            "changes": "weights stored in float16; vocabulary files that repeat the tokenizer left out",
        },
        "sources": [*(art.credits(sets) if sets else []), own],
        "drawings": drawings,
    }
    _write_json(path, document)


def copy_text_encoder(source: Path, target: Path) -> None:
    """MiniLM as it is."""
    shutil.copytree(source, target, dirs_exist_ok=True)


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", "utf-8")
