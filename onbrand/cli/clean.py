"""`onbrand clean`: does now what the API's maintenance does at intervals, and says what was deleted."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from onbrand.cli.output import AsJson, silence_logs
from onbrand.config import Settings, load_settings

if TYPE_CHECKING:
    from onbrand.database.address import Address
    from onbrand.maintenance import Collected, Expired, Scrubbed


def clean_command(
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Also delete what is held back because it is unusually much.")
    ] = False,
    read: Annotated[
        bool, typer.Option("--read", help="Also read every stored image and compare it with its checksum.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete expired jobs, and stored images that belong to no job, now."""
    from onbrand.local.database_url import url_for_command

    silence_logs()
    settings = load_settings()
    cleaned = asyncio.run(clean(settings, url_for_command(settings), confirmed=confirm, read=read))
    typer.echo(cleaned.as_json() if as_json else cleaned.as_sentences())
    raise typer.Exit(0 if cleaned.finished else 1)


@dataclass(frozen=True)
class Cleaned:
    """What was deleted, what is held back, and what is missing."""

    expired: Expired
    collected: Collected
    read: Scrubbed | None = None  # None: the images were not read

    @property
    def finished(self) -> bool:
        """Whether nothing is held back and everything due was deleted."""
        return not (self.expired.held or self.expired.unfinished or self.collected.held)

    def as_json(self) -> str:
        """One JSON document for a script."""
        document = {"finished": self.finished, "expired": asdict(self.expired), "collected": asdict(self.collected)}
        return json.dumps(document | ({"read": asdict(self.read)} if self.read else {}), indent=2)

    def as_sentences(self) -> str:
        """What was deleted, and what to do about the rest."""
        return "\n".join([*self._about_jobs(), *self._about_images(), *self._about_reading()])

    def _about_jobs(self) -> list[str]:
        if self.expired.held:
            return [
                "Held back: more than half of all jobs are due for deletion at once. Check the database's clock"
                " (`onbrand doctor`); if it is right, run `onbrand clean --confirm`."
            ]
        said = [f"Jobs deleted because their time is over: {self.expired.deleted}."]
        if self.expired.unfinished:
            said.append(
                f"The image store did not delete the images of {self.expired.unfinished} jobs. Check the store and run"
                " this again. Nobody can open these images meanwhile."
            )
        return said

    def _about_images(self) -> list[str]:
        if self.collected.held:
            said = [
                "Held back: more than a tenth of the stored images belong to no job of this database. Check that"
                " database and store belong together; if they do, run `onbrand clean --confirm`."
            ]
        else:
            said = [f"Stored images deleted because they belong to no result: {self.collected.deleted}."]
        if self.collected.leftovers:
            said.append(f"Half-written files deleted: {self.collected.leftovers}.")
        if self.collected.missing:
            said.append(
                f"Missing in the store: {self.collected.missing} images of complete jobs. `onbrand doctor` names the"
                " jobs; restore the images from a backup of the store if there is one."
            )
        return said

    def _about_reading(self) -> list[str]:
        if self.read is None:
            return []
        said = [f"Stored images read: {self.read.read}."]
        if self.read.damaged:
            said.append(
                f"Damaged or gone: {self.read.damaged} of them. `onbrand doctor` names the jobs; restore the images"
                " from a backup of the store if there is one."
            )
        return said


async def clean(settings: Settings, address: Address, *, confirmed: bool, read: bool = False) -> Cleaned:
    """Delete expired jobs, and images that belong to no result.

    `confirmed` also deletes what `Maintenance` holds back because it is unusually much. `read` also reads all
    stored images.

    Raises:
        DatabaseNotReady: the database's schema is older than this version.
        DatabaseUnavailable, ImageStoreUnavailable: one of them did not answer. What was deleted before stays deleted.
        SetupError: the image store cannot be opened.
    """
    from onbrand.database import migrations
    from onbrand.database.pool import Database
    from onbrand.images.store import ImageStore
    from onbrand.jobs import retention
    from onbrand.maintenance import Maintenance

    images = ImageStore.open(settings)
    database = Database(address, application_name="onbrand clean", max_connections=4)
    await database.open()
    try:
        async with database.transaction() as connection:
            await migrations.require_current(connection)
        maintenance = Maintenance(settings, database, images)
        expired = await maintenance.expire(confirmed=confirmed)
        async with database.transaction() as connection:
            await retention.start_collection(connection, 0)  # 0 seconds: whenever it was done last
        collected = await maintenance.collect(confirmed=confirmed)
        return Cleaned(expired, collected, await maintenance.read_all() if read else None)
    finally:
        await database.close()
