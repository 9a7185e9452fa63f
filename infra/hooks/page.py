"""The page's files for its own host: a copy of the build that knows the API's address. `azd deploy` uploads it."""

from __future__ import annotations

import os
import shutil

from infra.hooks.tools import ROOT, HookFailed, run, say


def prepare_page() -> None:
    """Copy the build to web/site and write the API's address into the copy.

    Raises:
        HookFailed: the page isn't built, or the API's address isn't known.
    """
    api = os.environ.get("ONBRAND_API_ADDRESS")
    if not api:
        raise HookFailed("ONBRAND_API_ADDRESS is not known yet: run `azd provision` first")
    built, site = ROOT / "web" / "dist", ROOT / "web" / "site"
    if not (built / "index.html").is_file():
        raise HookFailed("the page isn't built: run `make page`")
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(built, site)
    run("node", "web/scripts/static-host.mjs", str(site), api)
    say(f"The page in web/site calls {api}.")
