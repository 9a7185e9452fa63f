"""What is drawn for a review. Prompts and seeds are fixed before training, so nobody picks what looks good.

They come from the pack, into which `onbrand evaluate` puts those of the training run. A pack without them gets the list
below, which never changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from onbrand.errors import ManifestInvalid
from onbrand.reviews.models import BASES, SAMPLES
from onbrand.storage.files import REMEDY

SAMPLES_FILE = "eval_prompts.json"  # in a pack
_LENIENT = ConfigDict(extra="ignore", strict=True)  # what evaluation notes beside them is its own


@dataclass(frozen=True)
class Drawn:
    """One picture to draw: a prompt without the brand's suffix, and its seed."""

    __pydantic_config__: ClassVar[ConfigDict] = _LENIENT

    prompt: Annotated[str, Field(min_length=1, max_length=500)]
    seed: Annotated[int, Field(ge=0, le=2**53 - 1)]


# Six everyday products, two things that brand illustrations seldom show, one of several things, one long prompt. All
# are things that the mini knows; it doesn't draw two together, so its several things are of one kind.
DEFAULT_SAMPLES = (
    Drawn("a backpack", 4101),
    Drawn("a camera", 4102),
    Drawn("a cup of coffee", 4103),
    Drawn("headphones", 4104),
    Drawn("a laptop", 4105),
    Drawn("an umbrella", 4106),
    Drawn("a rocket", 4107),
    Drawn("a teapot", 4108),
    Drawn("shopping bags", 4109),
    Drawn(
        "a burger with lettuce, cheese and a soft round bun, seen from the side, in the middle of the picture, with"
        " calm empty space around it and nothing else, for the lunch page of a company's newsletter",
        4110,
    ),
)
# For the bare base. Which of them are drawn differs from review to review, or a reviewer would know them the next time.
_BASE_PROMPTS = (
    "an alarm clock",
    "a gift",
    "a watch",
    "a chair",
    "a phone",
    "a cupcake",
    "a light bulb",
    "a car",
    "a sofa",
    "a bottle",
    "a notebook",
    "a cake",
)
# One of three is long, as one of the pack's ten is.
_LONG_BASE_PROMPTS = (
    "a doughnut with icing and coloured sprinkles, seen from above, in the middle of the picture, large enough to fill"
    " most of it, with nothing else beside it, for an invitation to the team's breakfast",
    "a suitcase that is packed for a journey and stands upright in the middle of the picture, seen from the front, with"
    " a sturdy handle and rounded corners, for the first page of a letter to customers who have just booked a trip",
    "a potted plant with broad green leaves in a simple round pot, in the middle of the picture, with calm empty space"
    " around it and nothing else, for a page about the plants in the company's offices",
    "a slice of pizza with melted cheese and a crisp crust, seen from the front, in the middle of the picture, large"
    " and simple, with nothing else beside it, for the poster of the summer party",
)


def parse_samples(document: bytes) -> tuple[Drawn, ...]:
    """The ten prompts and seeds that a pack carries.

    Raises:
        ManifestInvalid: the file is not ten prompts with their seeds.
    """
    try:
        found = TypeAdapter(tuple[Drawn, ...]).validate_json(document)
    except ValidationError:
        found = ()
    if len(found) != SAMPLES or len({one.prompt for one in found}) != SAMPLES:
        raise ManifestInvalid(
            f"The file {SAMPLES_FILE} of the pack is not {SAMPLES} different prompts with a seed each: {REMEDY}."
        )
    return found


def base_prompts(taken: Iterable[str], chance: Random) -> tuple[Drawn, ...]:
    """Three prompts for the bare base that are not among the taken ones, one of them long, with their seeds."""
    known = {prompt.lower() for prompt in taken}
    short = [prompt for prompt in _BASE_PROMPTS if prompt not in known]
    long = [prompt for prompt in _LONG_BASE_PROMPTS if prompt not in known]
    chosen = [*chance.sample(short, BASES - 1), chance.choice(long)]
    return tuple(Drawn(prompt, chance.randrange(2**53)) for prompt in chosen)
