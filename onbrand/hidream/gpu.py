"""Which GPU torch sees, as one line of JSON: `{"name", "bytes"}`, or `null`.

For a process of its own (`python -m onbrand.hidream.gpu`): importing torch takes seconds, and a driver may hang. It
decides nothing; what the model runs on is the loader's business.
"""

from __future__ import annotations

import json
import sys

import torch


def main() -> None:
    """Print the line."""
    seen = None
    if torch.cuda.is_available():
        # Not how much is free: asking that takes some itself, which a worker may be about to need.
        properties = torch.cuda.get_device_properties(0)
        seen = {"name": properties.name, "bytes": properties.total_memory}
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main()
