"""azd's hook `preprovision`: `python -m infra.hooks.preprovision`."""

from __future__ import annotations

from infra.hooks.entra import register
from infra.hooks.images import build_images
from infra.hooks.preflight import preflight
from infra.hooks.tools import run_hook
from infra.hooks.wanted import read_wanted


def main() -> None:
    """Look first; then Entra, whose ids the templates need; then the images."""
    run_hook(
        [
            lambda: preflight(read_wanted()),
            lambda: register(read_wanted()),
            lambda: build_images(read_wanted()),
        ]
    )


if __name__ == "__main__":
    main()
