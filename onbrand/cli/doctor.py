"""`onbrand doctor`: checks the configuration and everything that it uses. The checks are in the room `doctor`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from onbrand.cli.output import AsJson, silence_logs
from onbrand.config import load_settings, unknown_settings
from onbrand.errors import ConfigError


def doctor(
    as_json: AsJson = False,
    skip_weights: Annotated[
        bool, typer.Option(help="Do not read the weights, which takes minutes for HiDream.")
    ] = False,
    skip_gpu: Annotated[bool, typer.Option(help="Do not look for a GPU with torch, which takes seconds.")] = False,
) -> None:
    """Check the configuration and everything that it uses, and say what to fix."""
    from rich.console import Console

    from onbrand.doctor.examine import examine, refused

    silence_logs()
    waiting, screen = Console(stderr=True), Console()
    exit_code = ConfigError.exit_code
    try:
        settings = load_settings()
    except ConfigError as error:
        report = refused(error.message)
    else:
        with waiting.status("Checking") as status:
            tell = status.update if waiting.is_terminal else waiting.print
            looking = examine(settings, unknown_settings(), skip_weights=skip_weights, skip_gpu=skip_gpu, tell=tell)
            report = asyncio.run(looking)
        exit_code = 0 if report.healthy else 1
    if as_json:
        typer.echo(report.as_json())
    elif screen.is_terminal:
        report.show(screen)
    else:
        typer.echo(report.as_lines())
    raise typer.Exit(exit_code)
