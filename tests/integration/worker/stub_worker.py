"""`onbrand worker`, but its model process is the double `stub_model.py`.

python stub_worker.py NOTES_DIR LOADING [OPTIONS]

With HALT_AT in the environment, it halts at that point of its work (`tests/halt.py`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unittest import mock

from onbrand.cli import main
from onbrand.worker import run
from tests import halt

STUB_MODEL = Path(__file__).with_name("stub_model.py")

if __name__ == "__main__":
    notes_dir, loading, *options = sys.argv[1:]

    def model_command(pack_dir: Path) -> list[str]:
        return [sys.executable, str(STUB_MODEL), notes_dir, loading, str(pack_dir)]

    mock.patch.object(run, "model_command", model_command).start()
    if point := os.environ.get("HALT_AT"):
        halt.install(point)
    sys.argv = ["onbrand", "worker", *options]
    main.main()
