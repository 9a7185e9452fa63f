"""What a guard is: the text that protects a promise, what is left without it, and the tests that should notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onbrand.config import REPOSITORY


@dataclass(frozen=True)
class Cut:
    """A change of one file. `text` occurs once in it."""

    file: str  # from the repository's root
    text: str
    instead: str

    def of(self, root: Path) -> str:
        """The whole file after the change.

        Raises:
            TextGone: the text is not there exactly once.
        """
        whole = (root / self.file).read_text()
        if whole.count(self.text) != 1:
            raise TextGone(f"{self.file} has {whole.count(self.text)} times: {self.text}")
        return whole.replace(self.text, self.instead)


@dataclass(frozen=True)
class Guard:
    """One guard. `tests` are what pytest takes: files, or names of tests in them; the fewer, the sooner it is known."""

    name: str  # the promise, in plain words
    file: str
    text: str
    instead: str
    tests: tuple[str, ...]
    also: tuple[Cut, ...] = ()  # what keeps the same promise a second time, taken away with it

    @property
    def cuts(self) -> tuple[Cut, ...]:
        return (Cut(self.file, self.text, self.instead), *self.also)

    def take_away(self, root: Path) -> None:
        """Change the files below `root`; never the repository itself.

        Raises:
            TextGone: a text is not there exactly once.
        """
        assert root.resolve() != REPOSITORY
        for cut in self.cuts:
            (root / cut.file).write_text(cut.of(root))


class TextGone(Exception):
    """The code has changed and the list of guards has not."""
