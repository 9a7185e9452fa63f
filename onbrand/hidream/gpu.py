"""Print which GPU torch sees, as one line of JSON: `{"name", "bytes"}`, or `null` if there is none.

Run it in a process of its own (`python -m onbrand.hidream.gpu`), because importing torch takes seconds and a GPU driver
can hang. It only reports: `load.py` chooses the device.
"""

from __future__ import annotations

import json
import sys

import torch


def main() -> None:
    """Print the GPU as JSON."""
    gpu = None
    if torch.cuda.is_available():
        # All memory, not the free memory: asking for the free memory allocates some, which a worker may need.
        properties = torch.cuda.get_device_properties(0)
        gpu = {"name": properties.name, "bytes": properties.total_memory}
    sys.stdout.write(json.dumps(gpu) + "\n")


if __name__ == "__main__":
    main()
