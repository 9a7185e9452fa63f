"""`onbrand up`: database, API, page and worker on this machine, with one command."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from onbrand import logs
from onbrand.config import load_settings


def up(
    reload: Annotated[bool, typer.Option("--reload", help="start a part again when its code has changed")] = False,
) -> None:
    """Run everything on this machine until Ctrl-C: database, API, page and a worker."""
    from onbrand.local.up import run

    settings = load_settings()
    logs.configure(settings, "onbrand")
    sys.exit(asyncio.run(run(settings, reload=reload)))
