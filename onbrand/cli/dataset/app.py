"""Registers the commands of `onbrand dataset`."""

from __future__ import annotations

import typer

from onbrand.cli.dataset.check import check_command

app = typer.Typer(no_args_is_help=True, help="Check a studio's illustrations before a style is trained on them.")


@app.callback()
def _group() -> None:
    """Keep `check` a command of its own: typer drops the name of an only command."""


app.command("check")(check_command)
