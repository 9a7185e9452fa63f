"""`onbrand` and `python -m onbrand` are the command."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from onbrand.cli.main import main


def run() -> None:
    """Run the command, and end without the interpreter's own ending.

    A thread of obstore's that lets go of a Python object during that aborts the process: 22 of 80 scripts that ended
    after asking the store for something did, with Python 3.11 and obstore 0.12.
    """
    exit_code = 0
    try:
        main()
    except SystemExit as ending:
        exit_code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # whoever was to read it has gone
            stream.flush()
    os._exit(exit_code)


if __name__ == "__main__":
    run()
