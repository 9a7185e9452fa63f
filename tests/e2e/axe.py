"""What axe-core finds wrong with the page for people who use assistive technology."""

from __future__ import annotations

from functools import cache

from playwright.sync_api import Page

from onbrand.config import REPOSITORY

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN = """async (tags) => {
  const { violations } = await axe.run(document, { runOnly: { type: 'tag', values: tags } });
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${help} ${target.join(' ')} ${failureSummary}`),
  );
}"""


@cache
def _source() -> str:
    return (REPOSITORY / "web" / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def violations(page: Page) -> list[str]:
    """A line for each element that breaks a rule of WCAG 2.0 to 2.2, A and AA, or of good practice."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_source())  # not as a script element: the page's Content-Security-Policy forbids it
    found: list[str] = page.evaluate(_RUN, _RULES)
    return found
