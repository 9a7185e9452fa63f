"""What a guard is: the text that protects a promise, what is left without it, and the tests that should notice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from onbrand.config import REPOSITORY
from tests.guards.places import PlaceUnknown, find


@dataclass(frozen=True)
class Cut:
    """A change of one place in the code.

    `place` is a function, a class, a module or an `.sql` file, by the end of its name (`places.py`). `fragment` occurs
    once in it, with whatever white space between its words. It is as short as it can be, so that other changes of the
    place leave it alone.
    """

    place: str
    fragment: str
    instead: str

    def of(self, root: Path) -> tuple[Path, str]:
        """The file that changes, from `root`, and its whole text after the change.

        Raises:
            TextGone: the place is not there, or the text is not there exactly once.
        """
        try:
            place = find(root, self.place)
        except PlaceUnknown as error:
            raise TextGone(str(error)) from None
        before, inside, behind = place.split((root / place.file).read_text())
        pattern = re.compile(r"\s+".join(re.escape(word) for word in self.fragment.split()))
        matches = list(pattern.finditer(inside))
        if len(matches) != 1:
            raise TextGone(f"{place.name} has {len(matches)} times: {self.fragment}")
        start, end = matches[0].span()
        return place.file, before + inside[:start] + self.instead + inside[end:] + behind


@dataclass(frozen=True)
class Guard:
    """One guard. `tests` are what pytest takes: files, or names of tests in them; the fewer, the sooner it is known."""

    name: str  # the promise, in plain words
    place: str
    fragment: str
    instead: str
    tests: tuple[str, ...]
    also: tuple[Cut, ...] = ()  # what keeps the same promise a second time, taken away with it

    @property
    def cuts(self) -> tuple[Cut, ...]:
        return (Cut(self.place, self.fragment, self.instead), *self.also)

    def take_away(self, root: Path) -> None:
        """Change the files below `root`; never the repository itself.

        Raises:
            TextGone: a text is not there exactly once.
        """
        assert root.resolve() != REPOSITORY
        # All are worked out before the first is written: a place is found by its lines.
        changes = [cut.of(root) for cut in self.cuts]
        if len({file for file, _ in changes}) != len(changes):
            raise TextGone(f"{self.name}: two cuts of one file; name one place that holds both")
        for file, text in changes:
            (root / file).write_text(text)


class TextGone(Exception):
    """The code has changed and the list of guards has not."""
