"""`onbrand openapi`, a hidden command: the API's schema, from which the page's client is generated."""

from __future__ import annotations

import json

import typer

from onbrand.config import load_settings


def openapi() -> None:
    """Print the OpenAPI document, from which the page's client is generated."""
    from onbrand.api.app import create_app

    document = create_app(load_settings(), "postgresql://", stand_in=None, web_dir=None).openapi()
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
