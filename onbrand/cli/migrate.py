"""`onbrand migrate`: the database's schema."""

from __future__ import annotations

import typer

from onbrand.config import load_settings


def migrate() -> None:
    """Bring the database's schema to the one that this version needs."""
    from onbrand.database.address import configured
    from onbrand.database.migrations import migrate as apply
    from onbrand.database.scaler import set_password
    from onbrand.local.postgres import EmbeddedPostgres

    settings = load_settings()
    address = configured(settings)
    if address is not None:
        applied = apply(address)
        if settings.scaler_password is not None:
            set_password(address, settings.scaler_password.get_secret_value())
    else:
        with EmbeddedPostgres(settings.data_dir) as server:
            applied = apply(server.url)
    typer.echo(f"applied: {', '.join(applied)}" if applied else "nothing to do: the schema is current")
