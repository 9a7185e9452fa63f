"""The command line: `onbrand` and `python -m onbrand` both start here."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from onbrand.cli.main import main


def run() -> None:
    """Run the command, then end the process without the interpreter's own shutdown.

    During that shutdown, a thread of obstore that releases a Python object aborts the process. That happened in 22 of
    80 scripts that had called the store before they ended (Python 3.11, obstore 0.12).
    """
    exit_code = 0
    try:
        main()
    except SystemExit as ending:
        exit_code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the reader of the stream has gone
            stream.flush()
    os._exit(exit_code)


if __name__ == "__main__":
    run()
