"""`onbrand restore FILE`: a backup comes back, where nothing is yet."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from onbrand.cli.output import AsJson, silence_logs
from onbrand.config import load_settings


def restore_command(
    file: Annotated[Path, typer.Argument(help="A file that `onbrand backup` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty data directory, or into an empty database and image store."""
    from onbrand.backup.restore import restore_backup
    from onbrand.cli.long_work import Telling

    silence_logs()
    settings = load_settings()
    with Telling() as tell:
        restored = restore_backup(settings, file, tell)
    if as_json:
        typer.echo(json.dumps(asdict(restored), indent=2))
        return
    typer.echo(
        f"Restored: the state of {restored.written_at}, with {restored.pictures} pictures and"
        f" {restored.pack_files} files of packs, each compared with its checksum."
    )
    if restored.missing or restored.damaged:
        typer.echo(
            f"When the backup was written, {len(restored.missing)} pictures were missing and"
            f" {len(restored.damaged)} damaged. `onbrand clean --read`, then `onbrand doctor`, names their jobs."
        )
