"""The worker's packages for a machine without an NVIDIA GPU.

    python infra/docker/without_gpu.py TORCH_WHEEL > infra/docker/worker-cpu.txt

It drops what only CUDA needs from `worker.txt`, and takes the hash of the given wheel of torch for the CPU. The result
is for trials, and no part of the repository.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

LOCK = Path(__file__).with_name("worker.txt")
_GPU_ONLY = re.compile(r"(nvidia-|cuda-|triton)")


def without_gpu(lock: str, wheel: Path) -> str:
    """The list without what only CUDA needs, and with this wheel of torch.

    Raises:
        ValueError: the wheel is not of the version of torch that the list names.
    """
    entries = re.split(r"\n(?=\S)", lock.strip())
    version = next(entry for entry in entries if entry.startswith("torch==")).split()[0].removeprefix("torch==")
    found = re.match(rf"torch-({re.escape(version)}(\+\w+)?)-", wheel.name)
    if found is None:
        raise ValueError(f"{wheel.name} is not torch {version}")
    kept = [entry for entry in entries if not _GPU_ONLY.match(entry) and not entry.startswith("torch==")]
    checksum = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return "\n".join([*kept, f"torch=={found[1]} \\\n    --hash=sha256:{checksum}", ""])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: without_gpu.py TORCH_WHEEL")
    try:
        sys.stdout.write(without_gpu(LOCK.read_text(encoding="utf-8"), Path(sys.argv[1])))
    except (OSError, ValueError) as error:
        sys.exit(f"without_gpu.py: {error}")
