"""`onbrand train`: teaches the base the style of a folder of illustrations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onbrand.cli.long_work import Telling
from onbrand.cli.output import silence_logs
from onbrand.config import load_settings

if TYPE_CHECKING:
    from onbrand.training.progress import Line


def train_command(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="The folder with the illustrations and their captions.")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run's folder, new or, with --resume, begun.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run stands.")] = False,
    prompt_suffix: Annotated[
        str | None, typer.Option(help='The text at the end of every caption and prompt. Default: ", onbrand style".')
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps. Default: by the number of illustrations.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Learning rate. Default: the model's.")] = None,
    rank: Annotated[int | None, typer.Option(min=1, max=512, help="Rank of the LoRA. Default: 16.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**31 - 1, help="Seed of the whole run. Default: 1.")] = None,
) -> None:
    """Train a brand's LoRA on the configured model. DIR is only read."""
    silence_logs()
    settings = load_settings()
    with Telling() as telling:
        telling("Reading the illustrations", 0, 0)
        from onbrand.dataset.reader import read_dataset
        from onbrand.packs.base import configured_base

        base, dataset = configured_base(settings), read_dataset(data)
        telling("Loading torch and diffusers", 0, 0)
        from onbrand.training.loop import Pace
        from onbrand.training.settings import Choices
        from onbrand.training.train import train

        def on_line(line: Line) -> None:
            left = f" · {line.seconds_to_go:,.0f} s to go" if line.seconds_to_go is not None else ""
            telling(f"Training · loss {line.loss:.4f}{left}", line.step, line.steps or 0)

        def tell(what: str, done: int, of: int) -> None:
            telling(what, done, of)

        done, total = train(
            base,
            dataset,
            out,
            Choices(prompt_suffix, steps, learning_rate, rank, seed),
            precision=settings.precision,
            is_resumed=resume,
            directory=settings.data_dir / "cache",
            tell=tell,
            on_line=on_line,
            pace=Pace(line=2.0 if telling.is_bar else 20.0),
        )
    if done < total:
        typer.echo(f"stopped after step {done} of {total}; go on with: onbrand train {data} --out {out} --resume")
        raise typer.Exit(1)
    typer.echo(f"trained {done} steps; look at {out / 'report.html'}")
    typer.echo(f'next: onbrand evaluate {out} --name "THE BRAND"')
