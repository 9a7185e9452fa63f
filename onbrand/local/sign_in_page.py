"""The pages of the local sign-in: plain HTML without scripts, and one style block, which the CSP allows by its hash."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape

from onbrand.local.people import Person

_STYLE = """
:root { color-scheme: light dark; --page: #f7f7f8; --surface: #fff; --text: #1b1b1f; --muted: #5b5b66;
  --line: #dcdce2; --edge: #82828c; --accent: #0f6cbd; --hover: #f1f6fb; }
@media (prefers-color-scheme: dark) { :root { --page: #141416; --surface: #1d1d20; --text: #f2f2f4; --muted: #adadb8;
  --line: #34343a; --edge: #7c7c87; --accent: #62abf5; --hover: #232a31; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 24px 16px; background: var(--page);
  color: var(--text);
  font: 15px/22px "Segoe UI", -apple-system, Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif; }
main { width: 100%; max-width: 448px; padding: 32px; background: var(--surface); border: 1px solid var(--line);
  border-radius: 12px; }
.product { margin: 0 0 20px; font-weight: 600; }
h1 { margin: 0 0 8px; font-size: 22px; line-height: 28px; font-weight: 600; }
p { margin: 0; color: var(--muted); }
ul { list-style: none; margin: 24px 0 0; padding: 0; display: grid; gap: 8px; }
button { display: block; width: 100%; padding: 12px 16px; text-align: left; font: inherit; color: inherit;
  cursor: pointer; background: var(--surface); border: 1px solid var(--edge); border-radius: 8px; }
button:hover { background: var(--hover); border-color: var(--accent); }
button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
button strong { display: block; font-weight: 600; }
button span { color: var(--muted); }
@media (forced-colors: active) { main, button { border-color: CanvasText; } }
"""
STYLE_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"


def choice(people: Iterable[Person]) -> str:
    """The page on which a person chooses an account. Its form posts to the page's own address."""
    rows = "\n".join(
        f'<li><button name="person" value="{escape(person.key)}">'
        f"<strong>{escape(person.name)}</strong> <span>{escape(person.shows)}</span></button></li>"
        for person in people
    )
    return _page(
        "Local sign-in (not Microsoft)",
        "This computer signs you in by itself, so that Onbrand can be tried without an account. Choose an account.",
        f'<form method="post"><ul aria-label="Accounts">\n{rows}\n</ul></form>',
    )


def message(title: str, text: str) -> str:
    """A page with a title and one sentence."""
    return _page(title, text, "")


def _page(title: str, text: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · Onbrand</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<p class="product">Onbrand</p>
<h1>{escape(title)}</h1>
<p>{escape(text)}</p>
{body}
</main>
</body>
</html>
"""
