"""`onbrand token`: a bearer token of the local sign-in."""

from __future__ import annotations

from typing import Annotated

import typer

from onbrand.config import SignIn, load_settings
from onbrand.errors import ConfigError


def token(
    user: Annotated[
        str,
        typer.Option(
            help="The account (`local/people.py`): member, second, third, designer, outsider, guest or overage."
        ),
    ] = "member",
) -> None:
    """Print a bearer token of the local sign-in, for curl."""
    from onbrand.local.issuer import Issuer
    from onbrand.local.people import PEOPLE

    settings = load_settings()
    if settings.auth is not SignIn.LOCAL:
        raise ConfigError("`onbrand token` is for the local sign-in only; here ONBRAND_AUTH=entra.")
    if user not in PEOPLE:
        raise typer.BadParameter(f"choose one of {', '.join(PEOPLE)}", param_hint="--user")
    typer.echo(Issuer(f"http://localhost:{settings.port}", settings.data_dir / "sign-in").token_for(user))
