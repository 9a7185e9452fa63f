"""What commands share that print a result: the option `--json`, and no log lines beside the result."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")]


def silence_logs() -> None:
    """Print no log lines: the command's result says everything."""
    logging.getLogger().addHandler(logging.NullHandler())
