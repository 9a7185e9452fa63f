"""The ten prompts that a style is judged by. They and their seeds are fixed before training, so nothing is picked.

Six everyday things, two things that no caption names, two things together, and a long prompt.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from onbrand.storage.files import STRICT

EVERYDAY = 6
ABSENT = 2
# Things that a studio draws, and that the mini knows, too.
THINGS = (
    "a backpack",
    "a bicycle",
    "a book",
    "a calendar",
    "a camera",
    "a car",
    "a chair",
    "a cupcake",
    "an envelope",
    "a house",
    "a key",
    "a lamp",
    "a laptop",
    "a light bulb",
    "a magnifying glass",
    "a megaphone",
    "a mug",
    "a padlock",
    "a pencil",
    "a phone",
    "a potted plant",
    "a rocket",
    "a sneaker",
    "a suitcase",
    "a trophy",
    "an umbrella",
    "an alarm clock",
    "a guitar",
    "a teapot",
    "a watch",
)
TOGETHER = "a laptop and a mug"
LONG = (
    "a suitcase that is packed for a journey and stands upright in the middle of the picture, seen from the front, with"
    " a sturdy handle on top, two clasps, rounded corners and a small name tag, large enough to fill most of the"
    " picture, with calm empty space around it and nothing else beside it, for the first page of a letter to customers"
    " who have just booked a trip"
)


@dataclass(frozen=True)
class SamplePrompt:
    """A prompt without the brand's suffix, and the seed that it is drawn with."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    prompt: Annotated[str, Field(min_length=1, max_length=500)]
    seed: Annotated[int, Field(ge=0)]
    is_absent: bool = False  # no caption of the training names this thing


def sample_prompts(captions: Iterable[str], seed: int) -> tuple[SamplePrompt, ...]:
    """Ten prompts for a set with these captions, the same ones each time.

    Where nearly every thing is in the captions, fewer of the ten are absent ones.
    """
    words = {word for caption in captions for word in re.findall(r"[a-z]+", caption.lower())}
    things = list(THINGS)
    random.Random(seed).shuffle(things)
    absent = [thing for thing in things if thing.split()[-1] not in words][:ABSENT]
    everyday = [thing for thing in things if thing not in absent][: EVERYDAY + ABSENT - len(absent)]
    prompts = [*everyday, *absent, TOGETHER, LONG]
    return tuple(
        SamplePrompt(prompt, 1000 * (seed % 1_000_000) + number, prompt in absent)
        for number, prompt in enumerate(prompts, 1)
    )
