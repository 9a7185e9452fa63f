"""`onbrand worker`: a process that draws jobs."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib.util import find_spec
from typing import Annotated

import typer

from onbrand import logs
from onbrand.cli.process import StopWithParent, database_address, run_until_signalled
from onbrand.config import load_settings
from onbrand.errors import ConfigError

# Of the extra `worker`: the parent process imports some of them, and the model process all.
_PACKAGES = ("numpy", "PIL", "psutil", "safetensors", "torch", "diffusers", "transformers")


WaitForPack = Annotated[bool, typer.Option(hidden=True, help="Without a live brand pack, wait for one.")]


def worker(stop_with_parent: StopWithParent = False, wait_for_pack: WaitForPack = False) -> None:
    """Run one worker, which loads the model and draws jobs, until Ctrl-C or SIGTERM."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(f"A worker needs {', '.join(missing)}. Install Onbrand with its extra `worker`.")
    from onbrand.worker.run import run_worker

    settings = load_settings()
    logs.configure(settings, "worker")
    address = database_address(settings)
    run = partial(run_worker, settings, address, waits_for_pack=wait_for_pack)
    asyncio.run(run_until_signalled(run, stop_with_parent))
