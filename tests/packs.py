"""Brand packs with a manifest, a small LoRA and files of random bytes, for tests that load no model."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from onbrand.config import REPOSITORY
from onbrand.database.pool import Database
from onbrand.packs.base import load_base
from onbrand.packs.manifest import MANIFEST, BrandPack, load_pack
from onbrand.packs.promotion import Verdict, register
from onbrand.storage.files import LocalFolder

MINI = load_base(LocalFolder(REPOSITORY / "models" / "mini"))
SAMPLE = load_pack(REPOSITORY / "models" / "mini" / "sample")
LORA = "lora.safetensors"
FILES = {LORA: 25_000, "samples/1.png": 3, "README.md": 0}  # sizes; the LoRA has the one of its two matrices
MODULE, RANK = "double_stream_blocks.0.block.attn1.to_q", 4


def lora_bytes(module: str = MODULE, *, rank: int = RANK, fill: bytes = b"") -> bytes:
    """A LoRA for one module of the mini. Its numbers are random, between 2**-63 and 1, or all have the four bytes."""
    outputs, inputs = MINI.shapes("transformer")[f"{MODULE}.weight"]
    header, data = {}, b""
    for key, shape in (("lora_A", (rank, inputs)), ("lora_B", (outputs, rank))):
        count = shape[0] * shape[1]
        numbers = fill * count or b"".join(os.urandom(3) + bytes([0x20 + os.urandom(1)[0] % 31]) for _ in range(count))
        header[f"transformer.{module}.{key}.weight"] = {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [len(data), len(data) + len(numbers)],
        }
        data += numbers
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def make_pack(
    directory: Path,
    *,
    name: str = "Brand",
    version: str = "1",
    base: str = MINI.id,
    model: str = "mini",
    lora: bytes = b"",
    module: str = MODULE,
    pictures: Sequence[str] = (),
) -> BrandPack:
    """Write a pack, by default for the mini model's base. Each has another id. `pictures`: the prompts of its own."""
    shown = {f"picture-{n}.webp": prompt for n, prompt in enumerate(pictures, start=1)}
    contents = {path: os.urandom(size) for path, size in FILES.items()} | {LORA: lora or lora_bytes()}
    contents |= {path: b"RIFF" + os.urandom(500) for path in shown}
    for path, content in contents.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    manifest: dict[str, Any] = {
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
        "lora": {"file": LORA, "rank": RANK, "alpha": 4.0, "scale": 1.0, "adapted_modules": [module]},
        "probe": {"base": [0.0] * 8, "fused": [1.0] * 8},
        "files": [
            {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for path, content in contents.items()
        ],
    }
    if shown:
        manifest["pictures"] = [{"file": path, "prompt": prompt} for path, prompt in shown.items()]
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
