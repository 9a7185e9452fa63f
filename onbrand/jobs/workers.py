"""Which workers are alive. This is only shown; what decides about a job is its lease."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from onbrand.database.pool import Connection
from onbrand.jobs.models import Pack

_LOADS_MEASURED = 20
SEEN_EVERY_SECONDS = 5.0  # a worker counts as alive for 30 s (`live_worker`)


@dataclass(frozen=True)
class LiveStyle:
    """The brand pack that the workers draw with. `reviewed`: the latest sign-off of this very pack is an approval."""

    pack: Pack
    reviewed: bool
    examples: tuple[str, ...] = ()  # prompts that the pack is known to draw well
    signed_by: str | None = None  # the designer of the latest sign-off, whatever it says; None if there is none
    signed_at: datetime | None = None


@dataclass(frozen=True)
class RefusedPack:
    """A brand pack that live workers should draw with and can't use. They draw with the pack before."""

    pack_id: str
    because: str
    workers: int = 1


async def announce(
    connection: Connection,
    worker_id: str,
    state: Literal["loading", "ready"],
    pack: Pack,
    examples: Sequence[str] = (),
    refused: RefusedPack | None = None,
) -> None:
    """Record that this worker is alive, its pack, whether its model is loaded, and the pack that it can't use.

    Also how long loading took.
    """
    await connection.execute(
        "with loaded as (insert into model_load (seconds) select extract(epoch from now() - state_since) from worker"
        " where id = %(id)s and state = 'loading' and %(state)s = 'ready' and state_since <= now())"
        " insert into worker (id, state, pack_id, pack_name, pack_version, examples, refused_pack_id, refused_because)"
        " values (%(id)s, %(state)s, %(pack_id)s, %(name)s, %(version)s, %(examples)s, %(refused)s, %(because)s)"
        " on conflict (id) do update set state = excluded.state, seen_at = now(), pack_id = excluded.pack_id,"
        " pack_name = excluded.pack_name, pack_version = excluded.pack_version, examples = excluded.examples,"
        " refused_pack_id = excluded.refused_pack_id, refused_because = excluded.refused_because,"
        " state_since = case worker.state when excluded.state then worker.state_since else now() end",
        {
            "id": worker_id,
            "state": state,
            "pack_id": pack.id,
            "name": pack.name,
            "version": pack.version,
            "examples": list(examples),
            "refused": refused and refused.pack_id,
            "because": refused and refused.because,
        },
    )
    await connection.execute("delete from worker where seen_at < now() - interval '1 hour'")
    await connection.execute(
        "delete from model_load where id in (select id from model_load order by id desc offset %s)",
        [_LOADS_MEASURED],
    )


async def withdraw(connection: Connection, worker_id: str) -> None:
    """Record that this worker stops."""
    await connection.execute("delete from worker where id = %s", [worker_id])


async def expire_workers(connection: Connection, id_prefix: str) -> None:
    """Delete workers that are known to be dead, and end their jobs' leases now, so that the next sweep finds the jobs.

    `id_prefix` is what the workers' ids begin with; the empty string means all workers.
    """
    await connection.execute(
        "update job set lease_until = now() where status = 'processing' and starts_with(worker_id, %s)", [id_prefix]
    )
    await connection.execute("delete from worker where starts_with(id, %s)", [id_prefix])


def id_of(host: str, pid: int) -> str:
    """How the id of the worker with this process id begins; the rest is random, because process ids are reused."""
    return f"{host}-{pid}-"


async def live_style(connection: Connection) -> LiveStyle | None:
    """The pack of the worker that started last; None if no worker is alive."""
    cursor = await connection.execute(
        "select live_worker.pack_id, pack_name, pack_version, examples,"
        " coalesce(verdict = 'approved', false) as reviewed, reviewer, signed_at"
        " from live_worker left join lateral (select verdict, reviewer, signed_at from sign_off"
        " where sign_off.pack_id = live_worker.pack_id order by id desc limit 1) as signed on true"
        " order by started_at desc limit 1"
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    pack = Pack(row["pack_id"], row["pack_name"], row["pack_version"])
    return LiveStyle(pack, row["reviewed"], tuple(row["examples"]), row["reviewer"], row["signed_at"])


async def refused_packs(connection: Connection) -> dict[str, RefusedPack]:
    """The packs that live workers should draw with and can't use, by id."""
    cursor = await connection.execute(
        "select refused_pack_id, max(refused_because) as because, count(*) as workers from live_worker"
        " where refused_pack_id is not null group by refused_pack_id order by refused_pack_id"
    )
    return {
        row["refused_pack_id"]: RefusedPack(row["refused_pack_id"], row["because"], row["workers"])
        for row in await cursor.fetchall()
    }


async def ready_workers(connection: Connection) -> int:
    """The number of live workers whose model is loaded."""
    cursor = await connection.execute("select count(*) as ready from live_worker where state = 'ready'")
    row = await cursor.fetchone()
    return row["ready"] if row else 0
