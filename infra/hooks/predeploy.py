"""azd's hook `predeploy`: `python -m infra.hooks.predeploy`."""

from __future__ import annotations

from infra.hooks.page import prepare_page
from infra.hooks.tools import run_hook

if __name__ == "__main__":
    run_hook([prepare_page])
