"""`onbrand clean`: does at once what the API's upkeep does in turns, and says what came of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from onbrand.config import Settings
from onbrand.database import migrations
from onbrand.database.pool import Database
from onbrand.images.store import ImageStore
from onbrand.jobs import retention
from onbrand.maintenance import Collected, Expired, Maintenance


@dataclass(frozen=True)
class Cleaned:
    """What was deleted, what waits, what is missing."""

    expired: Expired
    collected: Collected

    @property
    def finished(self) -> bool:
        """Whether nothing is held back and nothing was left undone."""
        return not (self.expired.held or self.expired.unfinished or self.collected.held)

    def as_json(self) -> str:
        """One document for a script."""
        return json.dumps(
            {"finished": self.finished, "expired": asdict(self.expired), "collected": asdict(self.collected)}, indent=2
        )

    def as_sentences(self) -> str:
        """What happened, and what to do about what did not."""
        return "\n".join([*self._about_jobs(), *self._about_images()])

    def _about_jobs(self) -> list[str]:
        if self.expired.held:
            return [
                "Held back: more than half of all jobs are due for deletion at once. Check the database's clock"
                " (`onbrand doctor`); if it is right, run `onbrand clean --confirm`."
            ]
        said = [f"Jobs deleted because their time is over: {self.expired.deleted}."]
        if self.expired.unfinished:
            said.append(
                f"The image store let the images of {self.expired.unfinished} jobs not go. Look at the store and run"
                " this again; until then nobody can reach them."
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


async def clean(settings: Settings, database_url: str, *, confirmed: bool) -> Cleaned:
    """Delete what is due and what belongs to no result. `confirmed` releases both brakes of `upkeep`.

    Raises:
        DatabaseNotReady: its schema is older than this version.
        DatabaseUnavailable, ImageStoreUnavailable: they did not answer; what was done so far is done.
        SetupError: the store cannot be opened.
    """
    images = ImageStore.open(settings)
    database = Database(database_url, application_name="onbrand clean", max_connections=4)
    await database.open()
    try:
        async with database.transaction() as connection:
            await migrations.require_current(connection)
        upkeep = Maintenance(settings, database, images)
        expired = await upkeep.expire(confirmed=confirmed)
        async with database.transaction() as connection:
            await retention.start_collection(connection, 0)  # whatever the time, it is our turn
        return Cleaned(expired, await upkeep.collect(confirmed=confirmed))
    finally:
        await database.close()
