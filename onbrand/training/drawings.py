"""The drawings that an evaluation looks at: ten samples, and three more seeds of the first prompt.

They are kept in the run, so an evaluation that is repeated or overruled draws nothing twice. The transformer is loaded
only when something is missing.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from onbrand.hidream.load import load_decoder
from onbrand.hidream.weights.lora import describe, read_adapter
from onbrand.packs.manifest import Lora
from onbrand.training.kept import LORA, folder_of
from onbrand.training.lora import set_lora, set_scale
from onbrand.training.prompts import SamplePrompt
from onbrand.training.record import RECORD, Record
from onbrand.training.samples import Sampler
from onbrand.training.whole_files import write_whole
from onbrand.training.workplace import Place, Tell, encoded, load_trainable, plan_for

FOLDER = "evaluation"
MORE_SEEDS = 3  # of the first prompt, beside the sample
_DONE = "drawn.json"


@dataclass
class Drawings:
    """Draws what is missing, and reads it."""

    run: Path
    record: Record
    place: Place
    tell: Tell
    _sampler: Sampler | None = field(default=None, init=False)

    @property
    def wanted(self) -> list[SamplePrompt]:
        """The ten samples, then the same prompt with other seeds."""
        first = self.record.samples[0]
        more = [SamplePrompt(first.prompt, first.seed + 500 + number) for number in range(MORE_SEEDS)]
        return [*self.record.samples, *more]

    def of(self, step: int, scale: float) -> list[Callable[[], np.ndarray]]:
        """The pictures of a checkpoint at a strength; step 0 is the bare base. Each is read when it is called."""
        folder = self.run / FOLDER / f"{step:06d}-{scale:g}"
        key = self._key(step, scale)
        if _done(folder) != key:
            self._draw(folder, step, scale)
            write_whole(folder / _DONE, json.dumps(key) + "\n")
        return [_reader(folder / f"{number:02d}.png") for number in range(len(self.wanted))]

    def _draw(self, folder: Path, step: int, scale: float) -> None:
        sampler = self._loaded()
        if step:
            set_lora(sampler.transformer, read_adapter(self._file(step), self._lora(step)))
        set_scale(sampler.transformer, scale if step else 0.0)
        what = f"Drawing with step {step}, strength {scale:g}" if step else "Drawing with the bare base"
        for number, one in enumerate(self.wanted):
            self.tell(what, number, len(self.wanted))
            file = io.BytesIO()
            Image.fromarray(sampler.draw(one.prompt, one.seed)).save(file, "PNG", compress_level=1)
            write_whole(folder / f"{number:02d}.png", file.getvalue())
        self.tell(what, len(self.wanted), len(self.wanted))

    def _loaded(self) -> Sampler:
        if self._sampler is None:
            settings = self.record.settings
            plan = plan_for(self.place, [settings.precision], settings)
            cache = encoded(self.run, self.record, self.place, plan, self.tell)
            transformer: Any = load_trainable(self.place, settings)
            decoder = load_decoder(
                self.place.base, self.place.model, settings.precision, self.place.device, lambda _: None
            )
            self._sampler = Sampler(self.place.model, transformer, decoder, cache, settings.side)
        return self._sampler

    def free(self) -> None:
        """Forget the model: what comes next loads it another way."""
        self._sampler = None

    def _file(self, step: int) -> Path:
        return folder_of(self.run, step) / LORA

    def _lora(self, step: int) -> Lora:
        found = describe(self._file(step))
        return Lora(LORA, found.rank, found.alpha or self.record.settings.alpha, 1.0, found.modules)

    def _key(self, step: int, scale: float) -> dict[str, object]:
        files = [self.run / RECORD, *([self._file(step)] if step else [])]
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
        return {"run": digests[0], "lora": digests[1] if step else "", "scale": scale}


def _done(folder: Path) -> object:
    try:
        return json.loads((folder / _DONE).read_bytes())
    except (OSError, ValueError):
        return None


def _reader(path: Path) -> Callable[[], np.ndarray]:
    return lambda: np.array(Image.open(path).convert("RGB"))
