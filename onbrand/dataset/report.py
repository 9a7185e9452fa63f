"""The page that a designer looks at: a contact sheet, the palette, what was found, and how the pictures are drawn.

One file without scripts and without anything from elsewhere. Names and captions are other people's text: all of it is
escaped, and the page's own policy allows no script and no request.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from onbrand import __version__
from onbrand.dataset.check import Checked
from onbrand.dataset.features import FEATURES, NAMES, in_words
from onbrand.dataset.findings import Finding, Severity, shown
from onbrand.dataset.folder import Entry
from onbrand.dataset.ranges import OUTLIER, fit

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MOST_COLOURS = 24
_WORDS = {Severity.ERROR: "must be mended", Severity.WARNING: "worth a look", Severity.NOTE: "done for you"}
_TITLES = {
    Severity.ERROR: ("What must be mended", "A style can't be trained with these. Mend them, then check again."),
    Severity.WARNING: ("Worth a look", "The style can be trained as it is. Better pictures make a better style."),
}


def page(checked: Checked) -> str:
    """The whole page, as HTML."""
    name = escape(shown(checked.folder.resolve().name or "illustrations"))
    style = (Path(__file__).with_name("report.css")).read_text("utf-8")
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">',
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">',
        f"<title>{name}: illustrations checked</title><style>{style}</style></head><body><main>",
        *_head(checked, name),
        *_findings(checked, Severity.ERROR),
        *_sheet(checked),
        *_palette(checked),
        *_findings(checked, Severity.WARNING),
        *_notes(checked),
        *_strips(checked),
        f"</main><footer>Onbrand {__version__}. The folder was only read. {_digest(checked)}</footer></body></html>",
    ]
    return "\n".join(parts)


def _digest(checked: Checked) -> str:
    return f"Data set <code>{checked.digest}</code>" if checked.digest else ""


def _head(checked: Checked, name: str) -> Iterator[str]:
    errors = checked.count(Severity.ERROR)
    count = len(checked.survey.entries)
    if errors:
        verdict = f'<h1 class="error">{_number(errors, "thing")} must be mended first</h1>'
    elif checked.count(Severity.WARNING):
        verdict = '<h1 class="ready">Ready to train, with something worth a look</h1>'
    else:
        verdict = '<h1 class="ready">Ready to train</h1>'
    yield f'<header><p class="folder">{name}</p>{verdict}<dl class="facts">'
    yield f"<div><dt>Pictures</dt><dd>{count}</dd></div>"
    if checked.survey.ground:
        chip = f'<span class="chip" style="background:{checked.ground}"></span>'
        yield f"<div><dt>The brand’s ground</dt><dd>{chip}<code>{checked.ground}</code></dd></div>"
    for severity in Severity:
        if number := checked.count(severity):
            yield f'<div><dt>{_WORDS[severity].capitalize()}</dt><dd class="{severity}">{number}</dd></div>'
    yield "</dl></header>"


def _sheet(checked: Checked) -> Iterator[str]:
    if not checked.survey.entries:
        return
    yield "<h2>All pictures</h2><p>As the model sees them: square, opaque, in sRGB. Each with its caption.</p>"
    yield '<ul class="sheet">'
    for entry in checked.survey.entries:
        about = [one for one in checked.findings if one.file == entry.name]
        caption = checked.survey.captions.get(entry.name)
        text = escape(caption) if caption else '<i class="error">no caption</i>'
        yield f'<li class="tile">{_image(checked, entry)}<b dir="auto">{escape(entry.name)}</b>'
        yield f'<span dir="auto">{text}</span>{_marks(checked, about)}</li>'
    yield "</ul>"


def _marks(checked: Checked, about: Sequence[Finding]) -> str:
    links = [
        f'<a class="{one.severity}" href="#{_anchor(checked, one)}">{escape(one.label)}</a>'
        for one in about
        if one.severity is not Severity.NOTE
    ]
    return f'<span class="marks">{"".join(links)}</span>' if links else ""


def _image(checked: Checked, entry: Entry, alt: str | None = None) -> str:
    """The thumbnail. What can't be used is shown faint, as its file has it, if it can be shown at all."""
    seen = checked.survey.seen.get(entry.name)
    thumbnail = seen.look.thumbnail if seen is not None else checked.previews.get(entry.name)
    if thumbnail is None:
        return f'<div class="nothing">{"can’t be shown" if alt is None else ""}</div>'
    data = base64.b64encode(thumbnail).decode()
    words = escape(checked.survey.captions.get(entry.name, entry.name) if alt is None else alt)
    kind = "" if seen is not None else ' class="unusable"'
    return f'<img{kind} src="data:image/webp;base64,{data}" alt="{words}" width="384" height="384">'


def _palette(checked: Checked) -> Iterator[str]:
    colours = checked.palette
    if not len(colours.rgb):
        return
    rows = [row for row in zip(colours.codes, colours.shares.tolist(), strict=True) if row[1] >= 0.002][:_MOST_COLOURS]
    yield "<h2>The palette</h2><p>The colours of all plain areas, with their share of what is drawn on the ground.</p>"
    bar = "".join(f'<i style="background:{code};flex:{share:.4f}"></i>' for code, share in rows)
    yield f'<div class="bar" aria-hidden="true">{bar}</div><ul class="swatches">'
    yield from (_swatch(code, f"{100 * share:.0f} %" if share >= 0.005 else "under 1 %") for code, share in rows)
    yield "</ul>"
    codes = [seen.border.colour for seen in checked.survey.seen.values() if seen.border.colour is not None]
    counts = sorted(((codes.count(code), code) for code in set(codes)), reverse=True)
    yield '<h3>Grounds</h3><ul class="swatches">'
    yield from (_swatch(code, _number(count, "picture")) for count, code in counts[:_MOST_COLOURS])
    yield "</ul>"


def _swatch(code: str, said: str) -> str:
    return f'<li><i style="background:{code}"></i><div><code>{code}</code><small>{said}</small></div></li>'


def _findings(checked: Checked, severity: Severity) -> Iterator[str]:
    found = [one for one in checked.findings if one.severity is severity]
    if not found:
        return
    title, lead = _TITLES[severity]
    yield f'<h2>{title}</h2><p>{lead}</p><ul class="findings">'
    entries = {entry.name: entry for entry in checked.survey.entries}
    for one in found:
        entry = entries.get(one.file or "")
        image = _image(checked, entry, "") if entry is not None else '<div class="nothing"></div>'
        if (
            len(one.others) == 1
            and (other := entries.get(one.others[0])) is not None
            and one.kind.endswith("duplicate")
        ):
            image = f'<div class="pair">{image}{_image(checked, other, "")}</div>'
        yield f'<li id="{_anchor(checked, one)}">{image}<div><p class="kind {severity}">{escape(one.label)}</p>'
        yield f'<p><b dir="auto">{escape(one.file or "The folder")}</b></p><p>{escape(one.cause)}</p>'
        yield f'<p class="remedy">{escape(one.remedy)}</p></div></li>'
    yield "</ul>"


def _notes(checked: Checked) -> Iterator[str]:
    found = [one for one in checked.findings if one.severity is Severity.NOTE]
    if not found:
        return
    yield "<h2>Done for you</h2><p>Nothing of this needs your attention; the folder itself was not changed.</p>"
    for kind in dict.fromkeys(one.kind for one in found):
        alike = [one for one in found if one.kind == kind]
        yield f"<details><summary>{escape(alike[0].label.capitalize())}: {_number(len(alike), 'note')}</summary><ul>"
        for one in alike:
            who = escape(one.file or "The folder")
            yield f'<li><b dir="auto">{who}</b>: {escape(one.cause)} {escape(one.remedy)}</li>'
        yield "</ul></details>"


def _strips(checked: Checked) -> Iterator[str]:
    """For each feature, a dot for each picture between the least and the greatest value."""
    if len(checked.features) < 6:
        return
    yield "<h2>How the pictures are drawn</h2>"
    yield "<p>One dot for each picture. New pictures will be compared with this range. The closer the dots are, the"
    yield 'clearer is the style. What stands far apart is marked.</p><div class="strips">'
    for feature in FEATURES:
        values = {name: getattr(one, feature) for name, one in checked.features.items()}
        floor = NAMES[feature].floor
        usual = fit(list(values.values()), floor)
        low, high = min(values.values()), max(values.values())
        middle, reach = (low + high) / 2, max(high - low, 12 * floor) / 2
        dots = []
        for name, value in sorted(values.items(), key=lambda item: abs(usual.steps(item[1]))):
            x = 6 + 328 * (value - middle + reach) / (2 * reach)
            far = ' class="far"' if abs(usual.steps(value)) > OUTLIER else ""
            dots.append(f'<circle{far} cx="{x:.1f}" cy="14" r="5"><title>{escape(name)}</title></circle>')
        ends = [in_words(feature, low), in_words(feature, high)]
        told = "" if not ends[0] else ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
        label = escape(NAMES[feature].label.capitalize())
        yield f"<figure><figcaption>{label}<span>{told}</span></figcaption>"
        yield f'<svg viewBox="0 0 340 28" role="img" aria-label="{label}"><line x1="0" x2="340" y1="14" y2="14"/>'
        less, more = escape(NAMES[feature].less), escape(NAMES[feature].more)
        yield f"{''.join(dots)}</svg><small><span>{less}</span><span>{more}</span></small></figure>"
    yield "</div>"


def _anchor(checked: Checked, finding: Finding) -> str:
    return f"finding-{checked.findings.index(finding)}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
