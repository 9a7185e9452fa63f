"""The miniature's recipe, step by step: `python -m models.mini.recipe STEP …`; `make mini` runs all of them.

art        the icon sets' licences and the number of drawings
data       fit the encoder and write the training data; shards that are there stay
denoiser   train, from where the run stands; Ctrl-C ends it, and it can go on
decay      begin a copy of a run that comes down to a learning rate of zero; train the copy as any other run
decoder    train the decoder, from where it stands
illustrations
           write a brand's illustrations; `onbrand train` makes its LoRA
judge      train the recogniser that evaluates
evaluate   the table of figures, as text and as LAB/evaluation.json
export     write what the product loads to LAB/export
sheet      draw the fixed prompts with a run's newest weights
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console

from models.mini.recipe import steps

MINI = Path(__file__).parent.parent
ART = Path(__file__).parent / "node_modules" / "@iconify-json"

STEPS: dict[str, Callable[[argparse.Namespace, Console], None]] = {
    "art": steps.art,
    "data": steps.data,
    "denoiser": steps.denoiser,
    "decay": steps.decay,
    "decoder": steps.decoder,
    "illustrations": steps.illustrations,
    "judge": steps.judge,
    "evaluate": steps.evaluate,
    "export": steps.export,
    "sheet": steps.sheet,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one step; returns the exit code."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    STEPS[options.step](options, Console())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.mini.recipe", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=list(STEPS))
    parser.add_argument("--lab", type=Path, default=Path(".onbrand/mini"), help="folder for data and runs")
    parser.add_argument("--art", type=Path, default=ART, help="node_modules/@iconify-json")
    parser.add_argument("--own", dest="art", action="store_const", const=None, help="our own drawings alone")
    parser.add_argument("--text-encoder", type=Path, default=MINI / "text_encoder")
    parser.add_argument("--run", default="main", help="name of the run, a folder in LAB/runs")
    parser.add_argument("--base", type=Path, help="go on from this exported base, models/mini for one, in a new lab")
    parser.add_argument("--to", default="decayed", help="name of the copy that `decay` begins")
    parser.add_argument("--brand", default="sample", help="sample, or kept: a brand for tests alone")
    parser.add_argument("--stage", choices=["all", "core"], default="all", help="which things are learned")
    parser.add_argument("--pictures", type=int, default=60_000, help="pictures in the training data")
    parser.add_argument("--shard", type=int, default=1_000, help="pictures in a shard")
    parser.add_argument("--steps", type=int, help="stop after so many steps in all")
    parser.add_argument("--questions", type=int, default=60, help="prompts of an evaluation; each is drawn four times")
    parser.add_argument("--twos", type=int, default=20, help="its prompts about two things, besides")
    parser.add_argument("--sources", default="clean,run", help="what to evaluate: clean, run, and folders of packs")
    parser.add_argument(
        "--most", type=int, help="of an export: how many things a picture can hold; default: any number"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--heads", type=int, default=4, help="width of a new run's network: 64 numbers a head")
    parser.add_argument("--singles", type=float, help="of a new run's or decay's pictures, the share with one thing")
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, default=False, help="quicker steps, after some minutes"
    )
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=_has_bf16(), help="for a new run")
    return parser


def _has_bf16() -> bool:
    """Without instructions for it bfloat16 is four times slower than float32 on a CPU."""
    cpuinfo = Path("/proc/cpuinfo")
    return torch.cuda.is_available() or (cpuinfo.exists() and "avx512_bf16" in cpuinfo.read_text("utf-8"))


if __name__ == "__main__":
    raise SystemExit(main())
