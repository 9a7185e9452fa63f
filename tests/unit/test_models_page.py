"""docs/models.md against the code: its tables say what the table of models, the counts and the plan say."""

from __future__ import annotations

from pathlib import Path

import pytest

from onbrand.hidream.memory import GIB, Sizes, plan
from onbrand.hidream.models import MODELS, Precision

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
HIDREAM = MODELS["hidream-i1-fast"]
LM_HEAD = 128_256 * 4096  # Llama's; in its files, and not loaded
TFLOP = {"step": 4 * 77.791, "decoding": 4 * 10.472, "reading": 3.17}  # see tests/integration/hidream/test_roofline.py


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a line."""
    lines = PAGE.partition(f"\n{heading}\n")[2].splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("|"))
    table = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table[2:]


def number(text: str) -> float:
    return float(text.split()[0].replace(",", ""))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_listed_with_its_settings(name: str) -> None:
    model = MODELS[name]
    found = next(row for row in rows("## Which one") if row[0] == f"`{name}`")
    assert [float(cell) for cell in found[1:4]] == [model.steps, model.guidance_scale, model.shift]
    assert found[4] == f"`{model.scheduler.class_name}`"


@pytest.mark.parametrize("name", [name for name in MODELS if name != "mini"])
def test_the_work_and_the_floors_are_what_is_counted(name: str) -> None:
    model = MODELS[name]
    passes = 2 if model.guidance_scale > 1 else 1
    work = model.steps * passes * TFLOP["step"] + TFLOP["decoding"] + TFLOP["reading"]
    found = next(row for row in rows("## Which one") if row[0] == f"`{name}`")
    assert number(found[5]) == pytest.approx(work, abs=1)
    floors = next(row for row in rows("## Time") if row[0].lower().startswith(name.rpartition("-")[2]))
    assert [number(cell) for cell in floors[1:]] == [round(work / 800, 1), round(work / 250, 1)]


@pytest.mark.parametrize("folder", HIDREAM.components)
def test_every_component_is_listed_with_size_source_and_licence(folder: str) -> None:
    part = HIDREAM.components[folder]
    found = next(row for row in rows("## Where the weights come from") if row[0] == f"`{folder}`")
    assert found[2] == f"{part.parameters:,}"
    assert number(found[3]) == round(2 * part.parameters / 1e9, 2)
    assert found[4] == part.repository.replace("HiDream-I1-Fast", "HiDream-I1-…")
    assert found[5] == part.licence


def test_what_is_said_to_go_where_is_what_is_chosen() -> None:
    encoders = [2 * part.parameters for folder, part in HIDREAM.components.items() if folder.startswith("text_encoder")]
    sizes = Sizes(
        encoders=sum(encoders) + 2 * LM_HEAD,
        largest_encoder=max(encoders) + 2 * LM_HEAD,
        transformer=2 * HIDREAM.components["transformer"].parameters,
        decoder=2 * HIDREAM.components["vae"].parameters,
    )
    cards = rows("<!-- plan -->")
    assert len(cards) == 6
    for _, free, *told in cards:
        for precisions, said in (((Precision.BFLOAT16, Precision.INT8), told[:2]), ((Precision.INT8,), told[2:])):
            chosen = plan(sizes, int(free) * GIB, precisions, can_offload=True)
            assert said == [f"{chosen.precision}, {chosen.placement}", f"{chosen.needed / GIB:.1f}"]
