"""The comparison for the queue: Procrastinate with its defaults, as in its quick start.

`python -m benchmarks.plain URL` runs one worker. Nothing is tuned. Of Onbrand it uses only the embedded PostgreSQL.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import procrastinate
import psycopg
from procrastinate.schema import SchemaManager
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row


def make_app(url: str) -> procrastinate.App:
    """A Procrastinate application with one task."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

    @app.task(name="draw")
    async def draw(person: str, steps: int) -> None:  # noqa: ARG001  (only recorded)
        for _ in range(steps):
            await asyncio.sleep(0.1)

    return app


class Plain:
    """A database of its own on a running server, with workers."""

    def __init__(self, server_url: str) -> None:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute("create database plain")
        self.url = make_conninfo(server_url, dbname="plain")
        with psycopg.connect(self.url) as connection:
            connection.execute(SchemaManager.get_schema())

    async def defer(self, person: str, count: int, steps: int) -> None:
        """Queue `count` jobs that take `steps` tenths of a second each."""
        async with make_app(self.url).open_async() as app:
            for _ in range(count):
                await app.tasks["draw"].defer_async(person=person, steps=steps)

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """One worker process."""
        process = subprocess.Popen([sys.executable, "-m", "benchmarks.plain", self.url], stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def starts(self) -> list[str]:
        """The persons of the started jobs, in order. A job that was started twice is there twice."""
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            rows = connection.execute(
                "select job.args ->> 'person' as person from procrastinate_events event"
                " join procrastinate_jobs job on job.id = event.job_id where event.type = 'started' order by event.id"
            )
            return [row["person"] for row in rows]


async def main(url: str) -> None:
    async with make_app(url).open_async() as app:
        await app.run_worker_async()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
