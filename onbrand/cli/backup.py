"""`onbrand backup FILE`: rows, pictures and packs in one file, while everything runs."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from onbrand.cli.output import AsJson, silence_logs
from onbrand.config import load_settings


def backup_command(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not be there yet.")],
    as_json: AsJson = False,
) -> None:
    """Write the database, the pictures and the packs to one file."""
    from onbrand.backup.write import write_backup
    from onbrand.cli.long_work import Telling
    from onbrand.database.address import configured
    from onbrand.local.database_url import running_url
    from onbrand.local.postgres import EmbeddedPostgres

    silence_logs()
    settings = load_settings()
    with ExitStack() as stack:
        address = configured(settings) or running_url(settings.data_dir)
        if address is None:  # beside no `onbrand up`: with a server of our own
            address = stack.enter_context(EmbeddedPostgres(settings.data_dir)).url
        written = write_backup(settings, address, file, stack.enter_context(Telling()))
    if as_json:
        typer.echo(json.dumps(asdict(written) | {"file": str(file)}, indent=2))
    else:
        typer.echo(
            f"Written: {file}, {written.size / 2**20:.1f} MiB, with {written.pictures} pictures and"
            f" {written.pack_files} files of packs. It holds prompts; only you may read it."
        )
    if lost := [*written.missing, *written.damaged]:
        typer.echo(
            f"The image store had lost {len(written.missing)} files of pictures and damaged {len(written.damaged)}"
            f" before, such as {lost[0]}. `onbrand doctor` says more.",
            err=True,
        )
        raise typer.Exit(1)
