"""`onbrand review open`: draws what a designer judges, deals it as sixteen cards, and prints the link."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

import typer

from onbrand.cli.long_work import Telling
from onbrand.cli.output import AsJson, silence_logs
from onbrand.cli.pack.database import pack_transaction, user
from onbrand.cli.pack.options import PackId
from onbrand.cli.review.link import link
from onbrand.config import Settings, load_settings
from onbrand.errors import OriginalsRefused, RunUnusable

if TYPE_CHECKING:
    from onbrand.database.address import Address
    from onbrand.dataset.reader import Illustration
    from onbrand.packs.manifest import BrandPack
    from onbrand.reviews.dealing import Face
    from onbrand.reviews.prompts import Drawn
    from onbrand.training.asides import TrainingPictures

_KEPT_UNOPENED = timedelta(days=1)  # pictures of a review that was killed before it was opened
Tell = Callable[[str, int, int], None]


def open_command(
    pack: PackId,
    originals: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="At least three of the brand's own illustrations with captions, which the pack was not trained on.",
        ),
    ],
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="The training run that the pack comes from. Originals that it trained on are refused, and after the"
            " verdict each drawing is shown beside the training pictures that are most like it. Without, the folder"
            " above DIR is looked at.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw ten pictures with a pack and three without, mix them with three originals, and print a reviewer's link."""
    from onbrand.local.database_url import url_for_command

    silence_logs()
    settings = load_settings()
    with Telling() as tell:
        opened = open_review(settings, url_for_command(settings), pack, originals, tell, run)
    if as_json:
        document = {"review": str(opened.id), "pack": opened.pack_id, "link": opened.link, "note": opened.note}
        typer.echo(json.dumps(document))
    else:
        typer.echo(f"Sixteen cards of {opened.name} are ready. Send this link to a person with the reviewer role:")
        typer.echo(opened.link)


@dataclass(frozen=True)
class Opened:
    """A review that waits for its reviewers."""

    id: UUID
    pack_id: str
    name: str  # of the pack, with its version
    link: str
    note: str | None  # what about the originals could not be checked


def open_review(
    settings: Settings, address: Address, beginning: str, originals: Path, tell: Telling, run: Path | None = None
) -> Opened:
    """Draw, deal and open a review. After an error there is none.

    Raises:
        PackNotFound, PackUnfit, WeightsMissing, WeightsUnusable, NotEnoughMemory, PrecisionUnsupported: the pack or the
            model cannot be loaded.
        DatasetRefused, DatasetChanged, OriginalsRefused: the folder of originals cannot be used.
        RunUnusable: the run that was named is none, is not the pack's, or has a damaged picture.
        ManifestInvalid: the pack's own list of prompts is damaged.
        DatabaseNotReady, DatabaseUnavailable: as for `database.pack_transaction`.
        ObjectStoreRefused, ObjectStoreUnreachable, ImageStoreUnavailable: the object store does not take the pictures.
    """
    from onbrand.packs.store import PackStore
    from onbrand.reviews.prompts import base_prompts
    from onbrand.training.originals import require_new

    chance = SystemRandom()
    tell("Looking at the pack and the originals", 0, 0)
    asyncio.run(_require_places(settings, address))  # before minutes are spent on drawing
    store = PackStore.open(settings)
    pack = store.fetch(store.find(beginning).id)
    given = _originals(originals)
    trained_on = find_training_pictures(pack, originals, run, tell)
    new = require_new(pack, originals, given, trained_on)
    if new.note is not None:
        tell.remark(new.note)
    own = _chosen(new.illustrations, chance)
    samples = _samples(pack)
    bases = base_prompts([one.prompt for one in samples], chance)
    faces = [*own, *_draw(settings, pack, samples, bases, trained_on, tell)]
    tell("Storing the cards", 0, 0)
    review_id = uuid4()
    asyncio.run(_open(settings, address, pack, review_id, faces, chance))
    manifest = pack.manifest
    return Opened(
        review_id, pack.id, f"{manifest.name}, version {manifest.version},", link(settings, review_id), new.note
    )


async def _require_places(settings: Settings, address: Address) -> None:
    from onbrand.images.store import ImageStore
    from onbrand.reviews import records
    from onbrand.reviews.pictures import CardStore

    async with pack_transaction(address) as connection:
        opened = await records.all_ids(connection)
    await ImageStore.open(settings).check()
    await CardStore.open(settings).sweep(opened, _KEPT_UNOPENED)


def _originals(folder: Path) -> list[Illustration]:
    """The illustrations of the folder, each different from the others.

    Raises:
        DatasetRefused: a file of the folder is not a picture with a caption that can be used.
        OriginalsRefused: there are fewer than three.
    """
    from onbrand.dataset.reader import read_dataset
    from onbrand.reviews.models import ORIGINALS

    found = read_dataset(folder).illustrations
    distinct = list({one.digest: one for one in found}.values())
    if len(distinct) < ORIGINALS:
        raise OriginalsRefused(
            f"The folder of originals has {len(found)} pictures, and a review needs {ORIGINALS} different ones that the"
            " pack was not trained on. Add the missing ones, each with a caption in a .txt file of the same name."
        )
    return distinct


def _chosen(illustrations: Sequence[Illustration], chance: Random) -> list[Face]:
    """Three of them, chosen by chance."""
    from onbrand.reviews.dealing import Face
    from onbrand.reviews.models import ORIGINALS, Kind

    return [
        Face(Kind.ORIGINAL, one.caption, None, one.name, one.pixels().tobytes())
        for one in chance.sample(illustrations, ORIGINALS)
    ]


def _samples(pack: BrandPack) -> tuple[Drawn, ...]:
    """The ten prompts and seeds that the pack carries, or those that every pack without gets."""
    from onbrand.reviews.prompts import DEFAULT_SAMPLES, SAMPLES_FILE, parse_samples

    if SAMPLES_FILE not in {file.path for file in pack.manifest.files}:
        return DEFAULT_SAMPLES
    return parse_samples(pack.path(SAMPLES_FILE).read_bytes())


def find_training_pictures(
    pack: BrandPack, originals: Path, run: Path | None, tell: Telling
) -> TrainingPictures | None:
    """The pictures that the pack was trained on: in the run that was named, or in the folder around the originals.

    If none was named and the pack's run isn't there, a line says what is missing, and the result is None.

    Raises:
        RunUnusable: the run that was named is none, is not the pack's, or has a damaged picture.
    """
    from onbrand.training.asides import TrainingPictures
    from onbrand.training.record import RECORD

    around = originals.absolute().parent
    if run is None and not (around / RECORD).is_file():
        tell.remark(
            "No training pictures will be shown after the verdict: to show them, name the pack's training run with"
            " --run RUN."
        )
        return None
    try:
        return TrainingPictures.read(run or around, pack, tell)
    except RunUnusable as error:
        if run is not None:
            raise
        tell.remark(f"No training pictures will be shown after the verdict. {error}")
        return None


def _draw(
    settings: Settings,
    pack: BrandPack,
    samples: Sequence[Drawn],
    bases: Sequence[Drawn],
    trained_on: TrainingPictures | None,
    tell: Tell,
) -> list[Face]:
    """The pictures of the pack with what they are compared with later, and those of the bare base."""
    from onbrand.reviews.dealing import Face
    from onbrand.reviews.models import Kind
    from onbrand.training.asides import base_aside

    count = 2 * len(samples) + len(bases)
    styled = _drawn(settings, pack, samples, tell, 0, count, with_lora=True)
    bare = _drawn(settings, pack, [*bases, *samples], tell, len(samples), count, with_lora=False)
    faces = [
        Face(Kind.BASE, one.prompt, one.seed, None, pixels.tobytes()) for one, pixels in zip(bases, bare, strict=False)
    ]
    tell("Looking for what to compare with", 0, 0)
    for one, pixels, without in zip(samples, styled, bare[len(bases) :], strict=True):
        nearest = [] if trained_on is None else trained_on.asides(pixels)
        asides = (base_aside(without), *nearest)
        faces.append(Face(Kind.PACK, one.prompt, one.seed, None, pixels.tobytes(), asides))
    return faces


def _drawn(
    settings: Settings, pack: BrandPack, wanted: Sequence[Drawn], tell: Tell, done: int, count: int, *, with_lora: bool
) -> list[Any]:
    """The pixels of each, (1024, 1024, 3) uint8. One model is in memory at a time."""
    tell("Loading the model", 0, 0)
    from onbrand.hidream.load import load_pipeline  # takes seconds
    from onbrand.packs.base import configured_base
    from onbrand.storage.files import derived_folder

    pipeline = load_pipeline(
        configured_base(settings),
        pack,
        precision=settings.precision,
        prepared_folder=derived_folder(settings),
        cache=settings.data_dir / "cache",
        with_lora=with_lora,
    )
    drawn = []
    for number, one in enumerate(wanted, start=done):
        tell("Drawing", number, count)
        drawn.append(pipeline.draw(one.prompt, [one.seed], lambda _: None, lambda: False).pixels[0])
    tell("Drawing", done + len(wanted), count)
    del pipeline
    gc.collect()  # a transformer with offloaded blocks is a reference cycle
    return drawn


async def _open(
    settings: Settings, address: Address, pack: BrandPack, review_id: UUID, faces: Sequence[Face], chance: Random
) -> None:
    from onbrand.packs import promotion
    from onbrand.reviews import records
    from onbrand.reviews.dealing import deal, discard
    from onbrand.reviews.pictures import CardStore

    store = CardStore.open(settings)
    cards = await deal(store, review_id, faces, chance)
    try:
        async with pack_transaction(address) as connection:
            await promotion.register(connection, pack.id, pack.manifest, by=user())
            await records.open_review(connection, review_id, pack.id, user(), cards)
    except BaseException:
        await discard(store, review_id)
        raise
