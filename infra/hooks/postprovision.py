"""azd's hook `postprovision`: `python -m infra.hooks.postprovision`."""

from __future__ import annotations

from infra.hooks.database import migrate
from infra.hooks.entra import admit_page
from infra.hooks.tools import run_hook
from infra.hooks.wanted import read_wanted


def main() -> None:
    """Let the sign-in return to the page, and make the database ready."""
    run_hook([lambda: admit_page(read_wanted()), lambda: migrate(read_wanted())])


if __name__ == "__main__":
    main()
