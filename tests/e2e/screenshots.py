"""Pictures of every state of the page, in both themes and three sizes, for people to look at: `make screenshots`.

Each goes to `screenshots/`, which is not kept. One sheet a state goes to `docs/screenshots/`, which is, and the
finished page to `docs/page.png` for README. No test compares them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from onbrand.config import REPOSITORY
from onbrand.local.postgres import EmbeddedPostgres
from tests.e2e.browser import ARGUMENTS, find_browser
from tests.e2e.contact_sheet import make_sheet
from tests.e2e.review_scenes import ALL_SCENES
from tests.e2e.scenes import Scene
from tests.e2e.screen import COMPUTER, SIZES, Screen
from tests.e2e.stage import new_database, open_stage

PATIENCE_MS = 60_000
THEMES = ("light", "dark")
_WITH_A_MOUSE = 1000  # pixels of width from which it is a computer
_README = ("complete", "light", COMPUTER)


def main() -> int:
    """Take the screenshots; 1 and a sentence when something to take them of is missing."""
    names = [scene.name for scene in ALL_SCENES]
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.screenshots", description=__doc__)
    parser.add_argument("states", nargs="*", metavar="STATE", help=f"only these: {', '.join(names)}")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "screenshots", help="where each goes")
    parser.add_argument("--docs", type=Path, default=REPOSITORY / "docs", help="where the sheets go")
    parser.add_argument("--page", type=Path, default=REPOSITORY / "web" / "dist", help="the built page")
    given = parser.parse_args()
    if unknown := set(given.states) - set(names):
        parser.error(f"there is no state {min(unknown)}; there are {', '.join(names)}")
    wanted = [scene for scene in ALL_SCENES if not given.states or scene.name in given.states]
    if not (given.page / "index.html").is_file():
        sys.stderr.write("The page isn't built. Run: make check\n")
        return 1
    expect.set_options(timeout=PATIENCE_MS)
    with _a_browser() as browser, _a_database_server() as server:
        for number, scene in enumerate(wanted, start=1):
            sys.stdout.write(f"[{number}/{len(wanted)}] {scene.name}\n")
            sys.stdout.flush()
            _take(scene, browser, server, given.page, given.out, given.docs)
    sys.stdout.write(f"Screenshots are in {given.out}, sheets in {given.docs / 'screenshots'}\n")
    return 0


def _take(scene: Scene, browser: Browser, server: EmbeddedPostgres, web_dir: Path, out: Path, docs: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (docs / "screenshots").mkdir(parents=True, exist_ok=True)
    taken: dict[str, dict[str, Path]] = {theme: {} for theme in THEMES}
    with (
        tempfile.TemporaryDirectory(prefix="onbrand-") as data_dir,
        open_stage(new_database(server), Path(data_dir), web_dir) as stage,
    ):
        context = browser.new_context(base_url=stage.origin, viewport={"width": COMPUTER[0], "height": COMPUTER[1]})
        context.set_default_timeout(PATIENCE_MS)
        screen = Screen(context.new_page())
        scene.set_up(stage, screen.page)
        for theme in THEMES:
            for size in SIZES:
                name = f"{size[0]}x{size[1]}"
                path = taken[theme][name] = out / f"{scene.name}_{theme}_{name}.png"
                _shoot(screen, scene, theme, size, path)
                if (scene.name, theme, size) == _README:
                    shutil.copyfile(path, docs / "page.png")
        context.close()
    make_sheet(taken, docs / "screenshots" / f"{scene.name}.webp")


def _shoot(screen: Screen, scene: Scene, theme: str, size: tuple[int, int], path: Path) -> None:
    is_touched = size[0] < _WITH_A_MOUSE
    screen.show(size, is_touched=is_touched, color_scheme=theme)
    if scene.is_long:
        # A taller screen, not a picture of more than it shows: what sticks to the edge would be in the middle of that.
        whole = screen.page.evaluate("document.documentElement.scrollHeight")
        screen.show((size[0], whole), is_touched=is_touched, color_scheme=theme)
    scene.expect_shown(screen.page)
    screen.page.screenshot(path=path, animations="disabled")


@contextmanager
def _a_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        executable = find_browser(playwright)
        if executable is None:
            sys.exit("There is no browser. Run: python -m tests.e2e.browser")
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def _a_database_server() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="onbrand-") as folder:
        Path(folder).chmod(0o755)  # as root the server runs as another user
        with EmbeddedPostgres(Path(folder)) as server:
            yield server


if __name__ == "__main__":
    sys.exit(main())
