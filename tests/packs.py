"""Brand packs with a manifest and a few files of random bytes, for tests that load no model."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from uuid import uuid4

from onbrand.config import REPOSITORY
from onbrand.database.pool import Database
from onbrand.packs.base import load_base
from onbrand.packs.manifest import MANIFEST, BrandPack, load_pack
from onbrand.packs.promotion import Verdict, register
from onbrand.storage.files import LocalFolder

MINI = load_base(LocalFolder(REPOSITORY / "models" / "mini"))
SAMPLE = load_pack(REPOSITORY / "models" / "mini" / "sample")
FILES = {"lora.safetensors": 40_000, "samples/1.png": 3, "README.md": 0}


def make_pack(
    directory: Path, *, name: str = "Brand", version: str = "1", base: str = MINI.id, model: str = "mini"
) -> BrandPack:
    """Write a pack, by default for the mini model's base. Each has another id."""
    contents = {path: os.urandom(size) for path, size in FILES.items()}
    for path, content in contents.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    manifest = {
        "schema": 2,
        "name": name,
        "version": version,
        "base_model": model,
        "base": base,
        "prompt_suffix": "",
        "prompt_token_limit": 128,
        "steps": 12,
        "guidance_scale": 3.5,
        "shift": 1.0,
        "lora": {"file": "lora.safetensors", "rank": 4, "alpha": 4.0, "scale": 1.0, "adapted_modules": ["a.b"]},
        "probe": {"base": [0.0] * 8, "fused": [1.0] * 8},
        "files": [
            {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for path, content in contents.items()
        ],
    }
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    return load_pack(directory)


async def register_packs(database: Database, *packs: BrandPack) -> None:
    """Register packs in the database."""
    async with database.transaction() as connection:
        for pack in packs:
            await register(connection, pack.id, pack.manifest, by="test")


async def sign_pack(database: Database, pack_id: str, verdict: Verdict) -> None:
    """Store a designer's verdict about a registered pack."""
    async with database.transaction() as connection:
        await connection.execute(
            "insert into sign_off (pack_id, verdict, reviewer, document, digest) values (%s, %s, 'Ada', '{}', %s)",
            [pack_id, verdict, hashlib.sha256(uuid4().bytes).hexdigest()],
        )
