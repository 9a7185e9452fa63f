"""`RUN/report.html`: how a training gets on, to look at while it runs and afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from PIL import Image

from onbrand.training.curve import Series, curve, smoothed
from onbrand.training.kept import SHEET, Checkpoint, folder_of
from onbrand.training.pages import heading, page, paragraph, picture, table
from onbrand.training.record import REPORT, Record
from onbrand.training.whole_files import write_whole

_WINDOW = 40  # steps that one point of the loss is the mean of


def write_report(
    run: Path, record: Record, checkpoints: Sequence[Checkpoint], losses: Sequence[float], seconds_to_go: float | None
) -> None:
    """Write the page whole or not at all.

    Raises:
        OSError: it can't be written.
    """
    style = record.settings.prompt_suffix.strip(" ,")
    write_whole(run / REPORT, page(f"Training of “{style}”", _parts(run, record, checkpoints, losses, seconds_to_go)))


def _parts(
    run: Path, record: Record, checkpoints: Sequence[Checkpoint], losses: Sequence[float], seconds_to_go: float | None
) -> Iterator[str]:
    done, steps = len(losses), record.settings.steps
    left = f", {seconds_to_go:,.0f} seconds to go" if seconds_to_go is not None and done < steps else ""
    yield paragraph(f"Step {done:,} of {steps:,}{left}.")
    if done >= steps:
        yield paragraph("The training is complete. Next: onbrand evaluate, which chooses the checkpoint.", "good")
    yield heading("Loss")
    held_out = [(float(one.step), one.held_out_mean) for one in checkpoints]
    series = [
        Series("illustrations that are trained on", smoothed(losses, _WINDOW)),
        Series("illustrations that are held out", held_out, has_dots=True),
    ]
    yield curve("Loss by step", series)
    yield paragraph(
        "The loss on what is trained on falls for ever. Where the held-out loss turns, the style is learnt, and later"
        " checkpoints begin to copy. The two lines are measured at different noise levels: compare each with itself.",
        "soft",
    )
    yield from _sheets(run, checkpoints)
    yield heading("What went in")
    yield table(("setting", "value"), [(name.replace("_", " "), value) for name, value in _facts(record)])
    yield heading("Illustrations")
    yield table(
        ("file", "caption", "used for"),
        [(one.name, one.caption, "held out" if one.is_held_out else "training") for one in record.pictures],
    )


def _sheets(run: Path, checkpoints: Sequence[Checkpoint]) -> Iterator[str]:
    if not checkpoints:
        return
    yield heading("Samples")
    yield paragraph("The same prompts and seeds at each checkpoint; they were fixed before the training.", "soft")
    for one in reversed(checkpoints):
        with Image.open(folder_of(run, one.step) / SHEET) as sheet:
            shown = picture(sheet, f"Samples after {one.step} steps", side=None)
        yield f'<div class="sheet"><p>Step {one.step:,}, held-out loss {one.held_out_mean:.4f}</p>{shown}</div>'


def _facts(record: Record) -> Iterator[tuple[str, object]]:
    yield "base", f"{record.base_model}, id {record.base}"
    yield "data set", f"{len(record.pictures)} illustrations, digest {record.dataset}"
    yield "brand's ground", record.ground
    yield from asdict(record.settings).items()
    yield "memory", record.plan
    yield "device", f"{record.device}, {record.threads} threads"
    yield "Onbrand", record.onbrand
    yield "libraries", ", ".join(f"{name} {version}" for name, version in record.versions.items())
