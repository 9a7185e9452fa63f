"""Training runs that have only begun: what a run keeps of its illustrations, and no trained LoRA."""

from __future__ import annotations

import shutil
from pathlib import Path

from onbrand.dataset.reader import read_dataset
from onbrand.hidream.models import Precision
from onbrand.packs.manifest import BrandPack
from onbrand.training.begin import begin
from onbrand.training.kept import LORA, folder_of
from onbrand.training.record import Record
from onbrand.training.settings import Choices, make_settings
from onbrand.training.workplace import open_place, plan_for
from tests.packs import MINI
from tests.studio import write_studio

PICTURES = 9


def begin_run(folder: Path, pack: BrandPack | None = None) -> Record:
    """A run on nine pictures of the made-up studio, of which one is held out. The pack is built of its checkpoint."""
    dataset = read_dataset(write_studio(folder.with_name(f"{folder.name} data"), PICTURES))
    place = open_place(MINI, None)
    settings = make_settings(place.row, Choices(), PICTURES, Precision.FLOAT32)
    record = begin(folder, MINI, dataset, settings, plan_for(place, [Precision.FLOAT32], settings))
    if pack is not None:
        checkpoint = folder_of(folder, 80)
        checkpoint.mkdir(parents=True)
        shutil.copyfile(pack.path(pack.manifest.lora.file), checkpoint / LORA)
    return record
