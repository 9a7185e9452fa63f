"""`RUN/evaluation.html`: the evaluation, to look at before the review."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from onbrand.packs.manifest import BrandPack
from onbrand.training.choose import RULE
from onbrand.training.criteria import CRITERIA, Outside
from onbrand.training.curve import Series, curve
from onbrand.training.drawings import MORE_SEEDS
from onbrand.training.judged import Evaluation, Judged
from onbrand.training.pages import Html, coloured, heading, page, paragraph, picture, table
from onbrand.training.whole_files import write_whole

_SIDE = 288  # pixels of a picture on the page


def write_page(path: Path, evaluation: Evaluation, pack: BrandPack) -> None:
    """Write the page whole or not at all.

    Raises:
        OSError: it can't be written.
    """
    manifest = pack.manifest
    title = f"Evaluation of {manifest.name}, version {manifest.version}"
    write_whole(path, page(title, _parts(evaluation, pack)))


def _parts(evaluation: Evaluation, pack: BrandPack) -> Iterator[str]:
    chosen = evaluation.chosen
    who = "a person, against the rule" if evaluation.is_overruled else "the rule"
    yield paragraph(f"Checkpoint {chosen.step} at strength {chosen.scale:g}, chosen by {who}.")
    if evaluation.is_overruled:
        yield paragraph(f"The rule takes checkpoint {evaluation.by_rule}.", "soft")
    if evaluation.doubt:
        yield paragraph(evaluation.doubt, "bad")
    yield paragraph(
        "These figures say how near the samples are to the brand's own work, not whether they are good. That is for a"
        " designer to say, in the review.",
        "soft",
    )
    yield from _criteria(evaluation)
    yield from _samples(evaluation)
    yield from _four(evaluation)
    yield from _checkpoints(evaluation)
    yield from _strengths(evaluation)
    yield heading("Next")
    yield paragraph(f"The pack has the id {pack.id}. It holds no picture and no caption of the brand.")
    yield paragraph(
        f"Add it with: onbrand pack add {pack.directory}. Then let a designer review it: onbrand review open."
    )


def _criteria(evaluation: Evaluation) -> Iterator[str]:
    chosen, base, count = evaluation.chosen, evaluation.base, len(evaluation.record.samples)
    yield heading("Criteria")
    yield paragraph(
        "How many samples lie inside the range of the brand's own work. Own pictures are each compared with all the"
        " others, so not all of them are inside, either.",
        "soft",
    )
    rows = []
    for criterion in CRITERIA:
        share, own = chosen.inside[criterion], evaluation.own_inside[criterion]
        verdict = coloured(f"{share * count:.0f} of {count}", is_good=share >= own - 0.2)
        rows.append(
            (
                criterion,
                verdict,
                f"{base.inside[criterion] * count:.0f} of {count}",
                f"{own:.0%}",
                _common(chosen, criterion),
            )
        )
    yield table(("criterion", "samples inside", "bare base", "own pictures", "what differs most"), rows)


def _common(judged: Judged, criterion: str) -> str:
    """The commonest difference of a criterion, without its numbers, and in how many samples."""
    words = [{one.words.split(" (")[0] for one in found if one.criterion == criterion} for found in judged.outside]
    counted = Counter(word for found in words for word in found)
    return ", ".join(f"{word} ({times})" for word, times in counted.most_common(2))


def _samples(evaluation: Evaluation) -> Iterator[str]:
    chosen = evaluation.chosen
    yield heading("Samples")
    yield paragraph(
        "The ten prompts and their seeds were fixed before the training. Beside each sample is the training picture"
        " that is most like it.",
        "soft",
    )
    cards = []
    for prompt, pixels, found, nearest in zip(
        evaluation.record.samples, chosen.pictures, chosen.outside, chosen.nearest, strict=False
    ):
        near = evaluation.own[nearest.name]()
        pair = picture(pixels(), f"Sample: {prompt.prompt}", _SIDE) + picture(near, f"Nearest: {nearest.name}", _SIDE)
        absent = " No caption names this thing." if prompt.is_absent else ""
        flag = ""
        if nearest.is_flagged:
            how = "mirrored, " if nearest.is_mirrored else ""
            flag = f'<br><span class="bad">Perhaps a copy of {escape(nearest.name)} ({how}look at both)</span>'
        text = f"{escape(prompt.prompt)}.{absent}<br><span class='soft'>Seed {prompt.seed}</span>"
        cards.append(
            f'<figure><div class="pair">{pair}</div><figcaption>{text}<br>{_list(found)}{flag}</figcaption></figure>'
        )
    yield f'<div class="cards wide">{"".join(cards)}</div>'


def _list(found: Sequence[Outside]) -> str:
    if not found:
        return '<span class="good">Inside in everything.</span>'
    told = "; ".join(f"{one.criterion}: {one.words}" for one in found[:4])
    return f"Outside: {escape(told)}"


def _four(evaluation: Evaluation) -> Iterator[str]:
    chosen, first = evaluation.chosen, evaluation.record.samples[0]
    yield heading("Four pictures of one prompt")
    more = "more" if chosen.diversity >= 1 else "less"
    yield paragraph(
        f"“{first.prompt}” with four seeds. They differ by {chosen.diversity:.1f}, where 1 is the least by which two of"
        f" the brand's own pictures differ: they differ {more} than that."
    )
    shown = [chosen.pictures[0], *chosen.pictures[-MORE_SEEDS:]]
    figures = (
        f"<figure>{picture(one(), f'{first.prompt}, picture {n}', _SIDE)}</figure>" for n, one in enumerate(shown, 1)
    )
    yield f'<div class="cards">{"".join(figures)}</div>'


def _checkpoints(evaluation: Evaluation) -> Iterator[str]:
    yield heading("Checkpoints")
    yield paragraph(RULE, "soft")
    held_out = [(float(one.step), one.held_out_mean) for one in evaluation.checkpoints]
    marked = float(evaluation.chosen.step)
    yield curve("Held-out loss by step", [Series("held-out loss", held_out, has_dots=True)], marked)
    inside = [(0.0, evaluation.base.candidate.inside)]
    inside += [(float(one.step), one.candidate.inside) for one in evaluation.judged]
    yield curve("Criteria inside by step", [Series("share of criteria inside", inside, has_dots=True)], marked)
    loss = {one.step: f"{one.held_out_mean:.4f}" for one in evaluation.checkpoints}
    rows = [_row(evaluation.base, "the bare base", "")]
    for one in evaluation.judged:
        rows.append(_row(one, f"{one.step}{' (chosen)' if one.step == evaluation.chosen.step else ''}", loss[one.step]))
    yield table(("step", "held-out loss", *CRITERIA, "perhaps copies", "diversity", "rule"), rows)


def _strengths(evaluation: Evaluation) -> Iterator[str]:
    yield heading(f"Strength of checkpoint {evaluation.chosen.step}")
    rows = []
    for one in evaluation.strengths:
        rows.append(_row(one, f"{one.scale:g}{' (chosen)' if one.scale == evaluation.chosen.scale else ''}", None))
    yield table(("strength", *CRITERIA, "perhaps copies", "diversity", "rule"), rows)


def _row(judged: Judged, first: str, loss: str | None) -> list[object]:
    shares = [f"{judged.inside[criterion]:.0%}" for criterion in CRITERIA]
    candidate = judged.candidate
    verdict: Html | str = coloured("left out", is_good=False) if candidate.is_left_out else ""
    middle = [] if loss is None else [loss]
    return [first, *middle, *shares, candidate.flagged, f"{candidate.diversity:.1f}", verdict]
