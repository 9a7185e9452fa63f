"""What the pages of a run share: one self-contained HTML file each, readable in light and dark, without a script."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from PIL import Image

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6573; --line: #d9dde3; --page: #ffffff; --card: #f5f6f8;
  --one: #2563a8; --two: #b4491d; --good: #1b6e3c; --bad: #a32727; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf0; --soft: #a3acb9; --line: #3a424e; --page: #14181e;
  --card: #1d232b; --one: #7db4f0; --two: #f0a27d; --good: #7fd19b; --bad: #f09a9a; } }
body { margin: 0 auto; padding: 1.5rem; max-width: 68rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p { margin: .5rem 0; overflow-wrap: anywhere; }
.soft { color: var(--soft); } .good { color: var(--good); } .bad { color: var(--bad); }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; } td.wide { overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } .scroll table { min-width: 34rem; }
.curve { width: 100%; height: auto; font-size: 12px; } .curve text { fill: var(--soft); }
.curve .grid { stroke: var(--line); } .curve .marked { stroke: var(--soft); stroke-dasharray: 4 4; }
.curve polyline { fill: none; stroke-width: 2; }
.curve .line0 { stroke: var(--one); } .curve .line1 { stroke: var(--two); }
.curve .dot0 { fill: var(--one); } .curve .dot1 { fill: var(--two); }
.legend { display: flex; gap: 1.5rem; font-size: .92rem; } .legend span::before { content: ""; display: inline-block;
  width: 1.2em; height: .25em; margin-right: .4em; vertical-align: middle; background: var(--one); }
.legend .key1::before { background: var(--two); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(13rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; background: var(--card); border-radius: 8px; padding: .6rem; }
figure img, .sheet img { width: 100%; height: auto; border-radius: 4px; display: block; }
figcaption { font-size: .88rem; margin-top: .4rem; overflow-wrap: anywhere; }
.cards.wide { grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); }
.pair { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: .4rem; }
.sheet { margin: .75rem 0; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole HTML document of parts that are HTML already."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def heading(text: str) -> str:
    """A part's heading."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """Plain text; `kind` is soft, good or bad."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Plain texts in a table; a text that is `Html` goes in as it is."""
    columns = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    body = "".join("<tr>" + "".join(f'<td class="wide">{_cell(cell)}</td>' for cell in row) + "</tr>" for row in rows)
    shown = f"<thead><tr>{columns}</tr></thead>" if head else ""
    return f'<div class="scroll"><table>{shown}<tbody>{body}</tbody></table></div>'


class Html(str):
    """A text that is HTML already."""


def coloured(text: str, *, is_good: bool) -> Html:
    """A word of a verdict; the word itself says it, the colour only helps."""
    return Html(f'<span class="{"good" if is_good else "bad"}">{escape(text)}</span>')


def picture(pixels: np.ndarray | Image.Image, alt: str, side: int | None = 320, quality: int = 85) -> str:
    """An `img` that holds the picture itself, as WebP, `side` pixels wide (None: as it is)."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    if side is not None:
        image = image.resize((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.convert("RGB").save(file, "WEBP", quality=quality, method=4)
    data = base64.b64encode(file.getvalue()).decode()
    size = f'width="{image.width}" height="{image.height}"'
    return f'<img src="data:image/webp;base64,{data}" alt="{escape(alt, quote=True)}" {size}>'


def _cell(cell: object) -> str:
    return cell if isinstance(cell, Html) else escape(str(cell))
