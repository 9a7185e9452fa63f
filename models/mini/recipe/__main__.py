"""The miniature's recipe, step by step: `python -m models.mini.recipe STEP …`; `make mini` runs all of them.

art        check the icon sets' licences and count the drawings
data       fit the encoder and write the training data; shards that are there stay
denoiser   train, from where the run stands; end it with Ctrl-C, begin a decay with `decay`
decay      copy a run, to come down to a learning rate of zero
decoder    train the decoder, from where it stands
sheet      draw the fixed prompts with a run's newest weights
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from models.mini.recipe import decoder, run
from models.mini.recipe.art import Art
from models.mini.recipe.autoencoder import fit_basis
from models.mini.recipe.concepts import OWN
from models.mini.recipe.data import make_cast, small_pictures, write_shards
from models.mini.recipe.denoiser import Recipe, Size, scales
from models.mini.recipe.text import Text
from onbrand.training.checkpoints import checkpoints, load_checkpoint
from onbrand.training.loop import Pace
from onbrand.training.loop import run as run_loop

MINI = Path(__file__).parent.parent
ART = Path(__file__).parent / "node_modules" / "@iconify-json"
_COMPONENTS = 24  # kept in the data; the denoiser takes the first of them
_FITTED = 3000  # pictures that the encoder is fitted to
_DECODER_FIRST = 10_000_000  # pictures that no denoiser has seen
_SEED = 1

console = Console()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one step; returns the exit code."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    steps = {
        "art": _art,
        "data": _data,
        "denoiser": _denoiser,
        "decay": _decay,
        "decoder": _decoder,
        "sheet": _sheet,
    }
    steps[options.step](options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.mini.recipe", description=__doc__.split("\n", 1)[0])
    parser.add_argument("step", choices=["art", "data", "denoiser", "decay", "decoder", "sheet"])
    parser.add_argument("--lab", type=Path, default=Path(".onbrand/mini"), help="folder for data and runs")
    parser.add_argument("--art", type=Path, default=ART, help="node_modules/@iconify-json")
    parser.add_argument("--own", dest="art", action="store_const", const=None, help="our own drawings alone")
    parser.add_argument("--run", default="main", help="name of the run, a folder in LAB/runs")
    parser.add_argument("--to", default="decayed", help="name of the copy that `decay` begins")
    parser.add_argument("--pictures", type=int, default=60_000, help="pictures in the training data")
    parser.add_argument("--shard", type=int, default=2_000, help="pictures in a shard")
    parser.add_argument("--steps", type=int, help="stop after so many steps in all")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--heads", type=int, default=4, help="width of a new run's network: 64 numbers a head")
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, default=False, help="quicker, after minutes"
    )
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=_has_bf16(), help="for a new run")
    return parser


def _has_bf16() -> bool:
    """Without instructions for it bfloat16 is four times slower than float32 on a CPU."""
    cpuinfo = Path("/proc/cpuinfo")
    return torch.cuda.is_available() or (cpuinfo.exists() and "avx512_bf16" in cpuinfo.read_text("utf-8"))


def _text() -> Text:
    return Text.load(MINI / "text_encoder")


def _art(options: argparse.Namespace) -> None:
    art = Art(options.art)
    cast = make_cast(art)
    sets = {name.split("/", 1)[0] for drawings in cast.drawings for name in drawings} - {OWN}
    for one, licence in sorted(art.require_licences(sorted(sets)).items()):
        console.print(f"{one}: {licence}")
    console.print(f"{len(cast.concepts)} things, {sum(map(len, cast.drawings))} drawings")


def _data(options: argparse.Namespace) -> None:
    path = options.lab / "basis.safetensors"
    if not path.exists():
        options.lab.mkdir(parents=True, exist_ok=True)
        pictures = small_pictures(options.art, _SEED + 6, range(min(_FITTED, options.pictures)))[0]
        run.write_basis(path, fit_basis(torch.from_numpy(pictures), _COMPONENTS))
    basis = run.read_basis(path)
    write_shards(
        options.lab / "data",
        options.art,
        basis,
        MINI / "text_encoder",
        _SEED,
        options.pictures,
        options.shard,
        options.threads,
    )


def _denoiser(options: argparse.Namespace) -> None:
    folder = options.lab / "runs" / options.run
    size = Size(heads=options.heads)
    run.write_recipe(folder, Recipe(size=size, is_bf16=options.bf16))
    basis = run.read_basis(options.lab / "basis.safetensors")
    step = run.train_denoiser(
        folder,
        options.lab / "data",
        basis,
        _text(),
        steps=options.steps,
        is_compiled=options.compile,
        on_line=lambda line: console.print(line.text()),
    )
    console.print(f"Stopped after {step:,} steps.")


def _decay(options: argparse.Namespace) -> None:
    if options.steps is None:
        raise SystemExit("--steps says how long the decay is")
    run.decay(options.lab / "runs" / options.run, options.lab / "runs" / options.to, options.steps)
    console.print(f"Train it with: python -m models.mini.recipe denoiser --run {options.to}")


def _decoder(options: argparse.Namespace) -> None:
    recipe = run.read_recipe(options.lab / "runs" / options.run)
    basis = run.read_basis(options.lab / "basis.safetensors")
    divisor = scales(basis, recipe.size.channels, recipe.spread)
    training = decoder.make_training(decoder.DecoderRecipe(), basis, divisor, options.art, _SEED, _DECODER_FIRST)
    run_loop(
        training,
        options.lab / "runs" / "decoder",
        pace=Pace(),
        steps=options.steps,
        on_line=lambda line: console.print(line.text()),
    )


def _sheet(options: argparse.Namespace) -> None:
    folder = options.lab / "runs" / options.run
    recipe = run.read_recipe(folder)
    state = load_checkpoint(checkpoints(folder)[-1])
    path = folder / f"sheet-{int(state['step']):09d}.png"
    run.sheet(path, recipe, state["average"], run.read_basis(options.lab / "basis.safetensors"), _text())
    console.print(str(path))


if __name__ == "__main__":
    raise SystemExit(main())
