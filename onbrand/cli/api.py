"""`onbrand api`: the HTTP service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from onbrand import logs
from onbrand.cli.process import StopWithParent, database_address, run_until_signalled
from onbrand.config import Environment, Settings, SignIn, load_settings

if TYPE_CHECKING:
    from onbrand.api.app import StandIn


def api(stop_with_parent: StopWithParent = False) -> None:
    """Run the HTTP service until Ctrl-C or SIGTERM."""
    from onbrand.api.app import create_app, serve

    settings = load_settings()
    logs.configure(settings, "api")
    address, stand_in = database_address(settings), _stand_in(settings)
    # In production a static host may serve the page; on one machine a missing build is a mistake.
    is_built = (settings.web_dir / "index.html").is_file()
    web_dir = settings.web_dir if is_built or settings.env is Environment.LOCAL else None
    service = create_app(settings, address, stand_in=stand_in, web_dir=web_dir)
    asyncio.run(run_until_signalled(lambda stop, _: serve(service, settings, stop), stop_with_parent))


def _stand_in(settings: Settings) -> StandIn | None:
    """The local sign-in, if the settings choose it."""
    from onbrand.api.app import StandIn
    from onbrand.local.issuer import Issuer

    if settings.auth is not SignIn.LOCAL:
        return None
    issuer = Issuer(f"http://localhost:{settings.port}", settings.data_dir / "sign-in")
    return StandIn(issuer.router(), issuer.metadata())
