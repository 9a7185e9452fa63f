"""What a page is looked at on, and when it stands still. Through the developer tools' protocol, as a page that is open
can't be told otherwise that it is on a touch screen."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

COMPUTER = (1366, 768)
TABLET = (820, 1180)
PHONE = (390, 844)
SIZES = (COMPUTER, TABLET, PHONE)
# Playwright's own way to wait needs eval, which the page's Content-Security-Policy forbids.
_SETTLE = """async () => {
  const transitions = () => document.getAnimations().filter((animation) => animation instanceof CSSTransition);
  do {
    await Promise.allSettled(transitions().map(({ finished }) => finished));
    await new Promise(requestAnimationFrame);
  } while (transitions().length > 0);
}"""


class Screen:
    """A tab's screen; the usual one is a computer's, with a mouse, in the light theme."""

    def __init__(self, page: Page) -> None:
        self.page = page
        # Kept open: the end of a session ends whatever any session emulates, being offline included.
        self._tools = page.context.new_cdp_session(page)

    def show(self, size: tuple[int, int], *, is_touched: bool = False, **media: Any) -> None:
        """Show the page in this size and with these media features, and wait until no colour is on its way."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        usual = {"color_scheme": "light", "forced_colors": "none", "reduced_motion": "no-preference"}
        self.page.emulate_media(**usual | media)
        points = {"maxTouchPoints": 5} if is_touched else {}
        self._tools.send("Emulation.setTouchEmulationEnabled", {"enabled": is_touched} | points)
        if not is_touched:
            self.page.mouse.move(0, 0)  # nothing looks as if it were about to be pressed
        self.page.evaluate(_SETTLE)

    def zoom(self, size: tuple[int, int], factor: int) -> None:
        """What a browser's zoom does to a screen: fewer CSS pixels, each of them larger."""
        width, height = size[0] // factor, size[1] // factor
        metrics = {"width": width, "height": height, "deviceScaleFactor": factor, "mobile": False}
        self._tools.send("Emulation.setDeviceMetricsOverride", metrics)
