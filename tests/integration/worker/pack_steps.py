"""Brand packs in a test of the worker: store, promote and damage them, and find out which one drew a job."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

from onbrand.packs import promotion
from onbrand.packs.manifest import BrandPack
from onbrand.packs.promotion import Alias, Moved
from onbrand.packs.store import PackStore
from tests.integration.worker.harness import WorkerHarness, until
from tests.packs import MINI, SAMPLE, make_pack, register_packs

MODEL = "mini"


async def stored_packs(
    harness: WorkerHarness, count: int = 1, name: str = "Brand", base: str = MINI.id
) -> list[BrandPack]:
    """So many new packs in the pack store; the database knows them and the bundled one."""
    store = PackStore.open(harness.settings)
    packs = [
        make_pack(harness.notes_dir.parent / f"pack-{uuid4()}", name=name, version=str(n), base=base)
        for n in range(1, count + 1)
    ]
    for pack in packs:
        store.add(pack.directory)
    await register_packs(harness.database, SAMPLE, *packs)
    return packs


async def promote(harness: WorkerHarness, pack: BrandPack, to: Alias = Alias.PRODUCTION) -> Moved:
    async with harness.database.transaction() as connection:
        return await promotion.promote(
            connection, pack.id, to=to, by="test", model=MODEL, bundled_id=SAMPLE.id, without_sign_off="a test"
        )


async def rollback(harness: WorkerHarness) -> Moved:
    async with harness.database.transaction() as connection:
        return await promotion.rollback(connection, by="test")


async def announced(harness: WorkerHarness, pack: BrandPack, state: str = "ready") -> None:
    """Return when every live worker says that it has this pack."""

    async def look() -> bool:
        rows = await harness.query("select pack_id, pack_name, pack_version, state from live_worker")
        return bool(rows) and all(
            row == {"pack_id": pack.id, "pack_name": pack.pack.name, "pack_version": pack.pack.version, "state": state}
            for row in rows
        )

    await until(look)


def drawn_with(harness: WorkerHarness, job_id: UUID) -> list[str]:
    """The packs that the model's double drew a job with, in order."""
    return [line.split()[1] for line in harness.notes if line.startswith("with ") and line.endswith(str(job_id))]


async def check_packs(harness: WorkerHarness, job_ids: Sequence[UUID]) -> None:
    """Each job is complete with the images of its one attempt, drawn once, with the pack that it names."""
    for job_id in job_ids:
        await harness.check_result(job_id, attempt=1)
        job = await harness.find(job_id)
        assert job.pack is not None
        assert drawn_with(harness, job_id) == [job.pack.id]


def damage(harness: WorkerHarness, pack: BrandPack) -> None:
    path = harness.images_dir / "packs" / pack.id / "lora.safetensors"
    path.write_bytes(b"\0" + path.read_bytes()[1:])
