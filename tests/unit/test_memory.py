"""Which parts of a model go where, for the memory there is. No GPU is asked: the figures are given."""

from __future__ import annotations

import pytest

from onbrand.errors import SetupError
from onbrand.hidream.memory import GIB, Placement, Sizes, plan
from onbrand.hidream.models import MODELS, Precision
from onbrand.packs.base import Base, BaseManifest
from onbrand.storage.files import LocalFolder, ManifestFile

GB = 10**9
# HiDream-I1 as it is stored: docs/models.md.
HIDREAM = Sizes(
    encoders=int(26.2 * GB), largest_encoder=int(15.0 * GB), transformer=int(34.2 * GB), decoder=int(0.17 * GB)
)
PRECISIONS = MODELS["hidream-i1-dev"].precisions[:2]


@pytest.mark.parametrize(
    ("gibibytes", "precision", "placement"),
    [
        (139, Precision.BFLOAT16, Placement.ALL),
        (78, Precision.BFLOAT16, Placement.ALL),
        (60, Precision.BFLOAT16, Placement.WITHOUT_ENCODERS),
        (44, Precision.INT8, Placement.ALL),
        (31, Precision.INT8, Placement.WITHOUT_ENCODERS),
        (22, Precision.BFLOAT16, Placement.WITHOUT_BLOCKS),
        (14, Precision.INT8, Placement.WITHOUT_BLOCKS),
    ],
)
def test_the_best_precision_that_fits_is_chosen(gibibytes: int, precision: Precision, placement: Placement) -> None:
    chosen = plan(HIDREAM, gibibytes * GIB, PRECISIONS, can_offload=True)
    assert (chosen.precision, chosen.placement) == (precision, placement)
    assert chosen.needed <= chosen.free


def test_a_precision_that_is_set_is_kept_and_its_parts_stay_together_if_they_can() -> None:
    chosen = plan(HIDREAM, 48 * GIB, [Precision.INT8], can_offload=True)
    assert (chosen.precision, chosen.placement) == (Precision.INT8, Placement.ALL)


def test_too_little_memory_is_said_with_the_figures() -> None:
    with pytest.raises(SetupError, match=r"needs 1\d\.\d GiB of memory and 8\.0 are free"):
        plan(HIDREAM, 8 * GIB, PRECISIONS, can_offload=True)


def test_without_a_gpu_nothing_waits_elsewhere() -> None:
    with pytest.raises(SetupError):
        plan(HIDREAM, 38 * GIB, PRECISIONS, can_offload=False)
    assert plan(HIDREAM, 70 * GIB, PRECISIONS, can_offload=False).placement is Placement.ALL


def test_more_memory_never_gives_less() -> None:
    order = [(precision, placement) for precision in PRECISIONS for placement in list(Placement)[:2]]
    order += [(precision, Placement.WITHOUT_BLOCKS) for precision in PRECISIONS]
    chosen = [plan(HIDREAM, gibibytes * GIB, PRECISIONS, can_offload=True) for gibibytes in range(13, 140)]
    ranks = [order.index((each.precision, each.placement)) for each in chosen]
    assert ranks == sorted(ranks, reverse=True)


def test_the_choice_is_told_with_its_figures() -> None:
    chosen = plan(HIDREAM, 60 * GIB, PRECISIONS, can_offload=True)
    assert str(chosen) == "bfloat16, text encoders in host memory: 46.0 of 60.0 GiB"


def test_sizes_are_summed_from_the_manifest() -> None:
    sizes = {"text_encoder/a": 1, "text_encoder_4/b": 20, "transformer/c": 300, "vae/d": 4000, "tokenizer/e": 50000}
    files = tuple(ManifestFile(path, size, "0" * 64) for path, size in sizes.items())
    base = Base(LocalFolder.__new__(LocalFolder), BaseManifest(1, "mini", (), files))
    assert Sizes.of(base) == Sizes(encoders=21, largest_encoder=20, transformer=300, decoder=4000)
