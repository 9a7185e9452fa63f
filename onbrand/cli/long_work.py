"""How far a long command is: a bar on a terminal, and a line at each tenth when piped. Both go to standard error."""

from __future__ import annotations

from typing import Self


class Telling:
    """A context manager; call it with what is being done, how many are done, and of how many (0: not known)."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._progress.add_task("Starting", total=None)
        self._told = ("", -1)

    @property
    def is_bar(self) -> bool:
        """Whether a person looks at a bar, so it may change often."""
        return self._console.is_terminal

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def remark(self, sentence: str) -> None:
        """Print a line that stays, also above the bar."""
        self._console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show it."""
        self._progress.update(self._task, description=what, completed=done, total=total or None)
        tenth = (what, 10 * done // total if total else 0)
        if not self._console.is_terminal and tenth != self._told:
            self._console.print(f"{what}: {done} of {total}" if total else what, highlight=False)
        self._told = tenth
