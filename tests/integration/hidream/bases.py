"""Write a new manifest for a base that a test has changed, so that only the change itself is wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from onbrand.packs.base import BASE_MANIFEST, Base, load_base
from onbrand.storage.files import LocalFolder


def repin(directory: Path, model: str) -> Base:
    """Pin the files as they are now."""
    files = [
        {
            "path": path.relative_to(directory).as_posix(),
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != BASE_MANIFEST
    ]
    manifest = {"schema": 1, "model": model, "sources": [], "files": files}
    (directory / BASE_MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return load_base(LocalFolder(directory))
