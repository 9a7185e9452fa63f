"""Registers the commands of `onbrand review`."""

from __future__ import annotations

import typer

from onbrand.cli.review.open import open_command
from onbrand.cli.review.show import show_command

app = typer.Typer(no_args_is_help=True, help="Have a designer review a brand pack blind, and see what they said.")
# `--help` lists the commands in this order.
app.command("open")(open_command)
app.command("show")(show_command)
