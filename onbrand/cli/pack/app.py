"""Registers the commands of `onbrand pack`."""

from __future__ import annotations

import typer

from onbrand.cli.pack.add import add_command
from onbrand.cli.pack.base import base
from onbrand.cli.pack.build import build
from onbrand.cli.pack.list import list_command
from onbrand.cli.pack.prepare import prepare
from onbrand.cli.pack.promote import promote_command, rollback_command
from onbrand.cli.pack.verify import verify

app = typer.Typer(no_args_is_help=True, help="Make, store and verify brand packs, and choose which one is live.")
# `--help` lists the commands in this order.
app.command("list")(list_command)
app.command()(verify)
app.command("add")(add_command)
app.command("promote")(promote_command)
app.command("rollback")(rollback_command)
app.command()(build)
app.command()(prepare)
app.command()(base)
