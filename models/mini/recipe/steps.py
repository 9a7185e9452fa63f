"""The steps of the recipe as the command line runs them; what each one does is in the module that it calls."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from models.mini.recipe import brand as brand_module
from models.mini.recipe import decoder as decoder_module
from models.mini.recipe import evaluate as evaluation
from models.mini.recipe import export as export_module
from models.mini.recipe import judge as judge_module
from models.mini.recipe import run
from models.mini.recipe.art import Art
from models.mini.recipe.autoencoder import Basis, fit_basis
from models.mini.recipe.concepts import OWN
from models.mini.recipe.data import make_cast, small_pictures, write_shards
from models.mini.recipe.denoiser import Recipe, Size, averaged, draw, scales
from models.mini.recipe.known import things, write_known
from models.mini.recipe.learned import LEAST, shares_learned
from models.mini.recipe.text import Text
from onbrand.hidream.decoding.decode import to_pixels
from onbrand.hidream.decoding.vae import PcaVae
from onbrand.hidream.packaging.pin import write_base
from onbrand.packs.base import BASE_MANIFEST, Source
from onbrand.training.checkpoints import checkpoints, load_checkpoint
from onbrand.training.loop import Pace, Training
from onbrand.training.loop import run as run_loop
from onbrand.training.progress import Line

COMPONENTS = 24  # kept in the data; the denoiser takes the first of them
FITTED = 3_000  # pictures that the encoder is fitted to
DECODER_FIRST = 10_000_000  # the decoder learns from pictures that no denoiser has seen
SEED = 1
MINILM = Source("text_encoder", "sentence-transformers/all-MiniLM-L6-v2", "")  # as it came with the first edition


def art(options: argparse.Namespace, console: Console) -> None:
    """Check the licences of all sets that are learned from."""
    found = Art(options.art)
    cast = make_cast(found)
    sets = {name.split("/", 1)[0] for drawings in cast.drawings for name in drawings} - {OWN}
    for one, licence in sorted(found.require_licences(sorted(sets)).items()):
        console.print(f"{one}: {licence}")
    console.print(f"{len(cast.concepts)} things, {sum(map(len, cast.drawings))} drawings")


def data(options: argparse.Namespace, console: Console) -> None:
    """Fit the encoder, if there is none, or take that of BASE; write the shards that are missing."""
    path = options.lab / "basis.safetensors"
    options.lab.mkdir(parents=True, exist_ok=True)
    if not path.exists() and options.base is not None:
        run.write_basis(path, export_module.read_basis_of(options.base / "vae"))
    if not path.exists():
        pictures = small_pictures(options.art, "all", SEED + 6, range(min(FITTED, options.pictures)))[0]
        run.write_basis(path, fit_basis(torch.from_numpy(pictures), COMPONENTS))
    basis = run.read_basis(path)
    root = _data(options)
    write_shards(
        root,
        options.art,
        options.stage,
        basis,
        options.text_encoder,
        SEED,
        options.pictures,
        options.shard,
        options.threads,
    )
    console.print(f"{options.pictures:,} pictures in {root}")


def denoiser(options: argparse.Namespace, console: Console) -> None:
    """Train the denoiser in LAB/runs/RUN, a new one from the weights of BASE where there is one."""
    if options.base is not None:
        _require_encoder(options)
    folder = _folder(options)
    run.write_recipe(folder, Recipe(size=Size(heads=options.heads), is_bf16=options.bf16, singles=options.singles))
    step = run.train_denoiser(
        folder,
        _data(options),
        _basis(options),
        Text.load(options.text_encoder),
        steps=options.steps,
        is_compiled=options.compile,
        base=options.base,
        on_line=_say(console),
    )
    console.print(f"Stopped after {step:,} steps.")


def decay(options: argparse.Namespace, console: Console) -> None:
    """Begin the decayed copy LAB/runs/TO."""
    if options.steps is None:
        raise SystemExit("--steps says how many steps the decay has")
    run.decay(_folder(options), options.lab / "runs" / options.to, options.steps, options.singles)
    console.print(f"Train it with: python -m models.mini.recipe denoiser --run {options.to}")


def decoder(options: argparse.Namespace, console: Console) -> None:
    """Train the decoder in LAB/runs/decoder, for the latents that RUN draws, from that of BASE where there is one."""
    basis, divisor, settings = _basis(options), _divisor(options), decoder_module.DecoderRecipe()
    recipe, weights = _newest(options)
    redraw = decoder_module.make_redraw(
        averaged(recipe.size, weights), Text.load(options.text_encoder), settings.redrawn
    )
    training = decoder_module.make_training(
        settings,
        basis,
        divisor,
        redraw,
        options.art,
        SEED,
        DECODER_FIRST,
        options.lab / "large",
        start=None if options.base is None else export_module.read_decoder(options.base / "vae"),
    )
    run_loop(training, options.lab / "runs" / "decoder", pace=Pace(), steps=options.steps, on_line=_say(console))


def illustrations(options: argparse.Namespace, console: Console) -> None:
    """Write a brand's illustrations, if they aren't there: LAB/brands/BRAND, whole or not at all."""
    chosen, folder = brand_module.BRANDS[options.brand], options.lab / "brands" / options.brand
    if not folder.exists():
        found, partial = Art(options.art), folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
        brand_module.write_dataset(partial, found, chosen, brand_module.brand_samples(make_cast(found, "core"), chosen))
        partial.rename(folder)
    console.print(f"{len(list(folder.glob('*.png')))} illustrations in {folder}")


def judge(options: argparse.Namespace, console: Console) -> None:
    """Train the recogniser in LAB/runs/judge."""
    training, names = _judge(options)
    console.print(f"It tells {len(names)} things apart.")
    run_loop(training, options.lab / "runs" / "judge", pace=Pace(), on_line=_say(console))


def evaluate(options: argparse.Namespace, console: Console) -> None:
    """Measure the sources that were asked for, and write the figures."""
    found = Art(options.art)
    cast = make_cast(found, options.stage)
    training, names = _judge(options)
    network = training.network
    if not isinstance(network, judge_module.Recogniser):
        raise TypeError("the judge is a recogniser")
    kept = load_checkpoint(checkpoints(options.lab / "runs" / "judge")[-1])["average"]
    network.load_state_dict(kept)
    asked = evaluation.questions(cast, names, options.questions)
    asked += evaluation.questions_of_two(cast, names, options.twos)
    rows = {}
    for source in options.sources.split(","):
        if source == "clean":
            drawn = evaluation.clean_drawings(cast, found, asked)
        elif source == "run":
            drawn = drawn_by_run(options)
        else:
            drawn = evaluation.drawn_by_pack(Path(source))
        rows[source] = evaluation.evaluate(drawn, asked, network, names)
        evaluation.show(console, rows)
    evaluation.write(options.lab / "evaluation.json", rows, asked)


def export(options: argparse.Namespace, console: Console) -> None:
    """Write RUN's newest averaged weights, the decoder and the text encoder to LAB/export, as a base."""
    recipe, weights = _newest(options)
    folder = options.lab / "export"
    parts = decoder_module.DecoderRecipe()
    export_module.write_transformer(folder / "transformer", recipe.size, weights)
    export_module.write_vae(folder / "vae", _vae(options), (parts.w16, parts.w128, parts.w256))
    export_module.copy_text_encoder(options.text_encoder, folder / "text_encoder")
    found = Art(options.art)
    before = None if options.base is None else options.base / "attribution.json"
    export_module.write_attribution(folder / "attribution.json", found, make_cast(found), before)
    learned = _learned(options, recipe, weights, console)
    write_known(folder, things(learned), options.most)
    (folder / BASE_MANIFEST).unlink(missing_ok=True)
    write_base(folder, "mini", [MINILM])
    console.print(str(folder))


def sheet(options: argparse.Namespace, console: Console) -> None:
    """Draw the fixed prompts with the newest averaged weights of RUN."""
    folder = _folder(options)
    state = load_checkpoint(checkpoints(folder)[-1])
    path = folder / f"sheet-{int(state['step']):09d}.png"
    run.sheet(path, run.read_recipe(folder), state["average"], _basis(options), Text.load(options.text_encoder))
    console.print(str(path))


def drawn_by_run(options: argparse.Namespace) -> evaluation.Draw:
    """Pictures by the newest averaged weights of RUN and of the decoder."""
    recipe, weights = _newest(options)
    network, text, vae = averaged(recipe.size, weights), Text.load(options.text_encoder), _vae(options)

    @torch.inference_mode()
    def drawn(prompt: str, seeds: Sequence[int]) -> list[np.ndarray]:
        latents = draw(network, text, [prompt] * len(seeds), seeds, channels=recipe.size.channels)
        return [to_pixels(vae.decode(latent[None]))[0] for latent in latents]

    return drawn


def _learned(
    options: argparse.Namespace, recipe: Recipe, weights: dict[str, torch.Tensor], console: Console
) -> list[str]:
    """The things of the stage that the network draws as they are."""
    network, text, basis, divisor = (
        averaged(recipe.size, weights),
        Text.load(options.text_encoder),
        _basis(options),
        _divisor(options),
    )

    def draw_small(prompts: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        latents = draw(network, text, prompts, seeds, channels=recipe.size.channels)
        pictures: np.ndarray = (basis.decode(latents * divisor.view(-1, 1, 1)).clamp(-1, 1) + 1).numpy() / 2
        return pictures.transpose(0, 2, 3, 1)

    found = Art(options.art)
    shares = shares_learned(make_cast(found, options.stage), found, draw_small)
    not_yet = [name for name, share in shares.items() if share < LEAST]
    console.print(f"{len(shares) - len(not_yet)} things are learned. Not yet: {', '.join(not_yet) or 'none'}")
    return [name for name, share in shares.items() if share >= LEAST]


def _judge(options: argparse.Namespace) -> tuple[Training, list[str]]:
    found = Art(options.art)
    chosen = judge_module.subjects(found, make_cast(found).concepts)
    training = judge_module.make_training(found, chosen, options.steps or judge_module.STEPS)
    return training, [subject.name for subject in chosen]


def _data(options: argparse.Namespace) -> Path:
    return Path(options.lab / ("data" if options.stage == "all" else f"data-{options.stage}"))


def _folder(options: argparse.Namespace) -> Path:
    return Path(options.lab / "runs" / options.run)


def _basis(options: argparse.Namespace) -> Basis:
    return run.read_basis(options.lab / "basis.safetensors")


def _divisor(options: argparse.Namespace) -> torch.Tensor:
    recipe = run.read_recipe(_folder(options))
    return scales(_basis(options), recipe.size.channels, recipe.spread)


def _vae(options: argparse.Namespace) -> PcaVae:
    """The decoder of the lab; that of BASE where none was trained."""
    vae = decoder_module.make_vae(decoder_module.DecoderRecipe(), _basis(options), _divisor(options))
    own = options.lab / "runs" / "decoder"
    if options.base is not None and not own.exists():
        kept = export_module.read_decoder(options.base / "vae")
    else:
        kept = load_checkpoint(checkpoints(own)[-1])["average"]
    vae.load_state_dict(kept, strict=False)  # the linear part is the basis, which isn't trained
    return vae


def _require_encoder(options: argparse.Namespace) -> None:
    own, of_base = _basis(options).components, export_module.read_basis_of(options.base / "vae").components
    if not torch.equal(own[:, : of_base.shape[1]], of_base):
        raise SystemExit(
            f"The data in {options.lab} is not of the base's encoder: make it with `data --base`, elsewhere"
        )


def _newest(options: argparse.Namespace) -> tuple[Recipe, dict[str, torch.Tensor]]:
    return run.read_recipe(_folder(options)), load_checkpoint(checkpoints(_folder(options))[-1])["average"]


def _say(console: Console) -> Callable[[Line], None]:
    return lambda line: console.print(line.text())
