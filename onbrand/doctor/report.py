"""What a check found, and how a list of findings is shown: for people, for a log, for a script.

What is checked, and when it is a problem, is decided in the files beside this one.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from rich.console import Console
from rich.table import Table
from rich.text import Text

from onbrand import __version__

#: Every check with what it looks at, in the order of the report. Each report has each of them exactly once.
CHECKS = {
    "settings": "the settings are accepted, and none is misspelt",
    "python": "the interpreter",
    "data_dir": "the data directory can be written",
    "disk": "there is room on the disk",
    "page": "the web page is built",
    "port": "the port is free, or Onbrand answers on it and is ready",
    "gpu": "torch sees a GPU",
    "model": "the model's weights, and the pack that comes with them, are whole, every byte of them",
    "review": "a designer has approved the brand pack that is live",
    "sign_in": "the identity provider answers as the one that is set, with its keys",
    "members": "who may come in",
    "origins": "which pages elsewhere may call the API",
    "database": "PostgreSQL lets us in",
    "postgresql": "its version, and that it may be written",
    "role": "the role has no more rights than it needs",
    "transport": "the connection is encrypted, and the server has to prove who it is",
    "session": "time zone and time limit of our sessions are the ones we asked for",
    "clock": "its clock and this machine's agree",
    "connections": "there are connections left for one more API and one more worker",
    "rights": "the role may use all of our tables",
    "schema": "the schema is this version's",
    "images": "the image store takes, returns and deletes an object",
    "soft_delete": "deleted images are really gone",
    "workers": "workers are alive, with a model loaded",
    "waiting": "how many jobs wait, and for how long",
    "leases": "no running job is past its lease",
    "deliveries": "each waiting job has its delivery in the queue",
    "failures": "how many jobs failed in the last 24 hours, and why",
    "sweep": "lost work is looked for",
    "deletion": "what is due is deleted, and nothing holds it back",
    "overdue": "no job is still there a day after its time",
    "comparison": "rows and stored images are compared",
    "missing_images": "the store has the images of all complete jobs",
    "retention": "how long jobs are kept, and backups of them",
}
_WIDEST = max(map(len, CHECKS))


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"  # it works; somebody should know
    PROBLEM = "problem"  # somebody must do something
    SKIPPED = "skipped"


_MARKS = {
    State.OK: ("✓", "green"),
    State.WARNING: ("!", "yellow"),
    State.PROBLEM: ("✗", "bold red"),
    State.SKIPPED: ("–", "dim"),
}
_PLAIN_MARKS = {State.OK: "+", State.WARNING: "!", State.PROBLEM: "x", State.SKIPPED: "-"}


@dataclass(frozen=True)
class Verdict:
    """What a check found: a sentence, and what to do unless there is nothing to do."""

    state: State
    says: str
    advice: str | None = None


Findings = dict[str, Verdict]  # by the name of the check


def ok(says: str, advice: str | None = None) -> Verdict:
    """As it should be."""
    return Verdict(State.OK, says, advice)


def warning(says: str, advice: str) -> Verdict:
    """It works, but somebody should know."""
    return Verdict(State.WARNING, says, advice)


def problem(says: str, advice: str | None = None) -> Verdict:
    """Somebody must do something; `advice` may be part of the sentence, as in our errors."""
    return Verdict(State.PROBLEM, says, advice)


def skipped(because: str, advice: str | None = None) -> Verdict:
    """Not looked at."""
    return Verdict(State.SKIPPED, because, advice)


@dataclass(frozen=True)
class Report:
    """One verdict for each of `CHECKS`."""

    findings: Findings

    def __post_init__(self) -> None:
        if set(self.findings) != set(CHECKS):
            raise ValueError(f"not the checks there are: {set(self.findings) ^ set(CHECKS)}")

    @property
    def healthy(self) -> bool:
        """Whether nothing is a problem; warnings are none."""
        return all(verdict.state is not State.PROBLEM for verdict in self.findings.values())

    def as_json(self) -> str:
        """One document; `checks` has the order of `CHECKS`, and `advice` is null where there is nothing to do."""
        checks = [
            {"check": check, "state": verdict.state, "says": verdict.says, "advice": verdict.advice}
            for check, verdict in self._in_order()
        ]
        return json.dumps({"version": __version__, "healthy": self.healthy, "checks": checks}, indent=2)

    def as_lines(self) -> str:
        """One line for each check, its state first."""
        lines = []
        for check, verdict in self._in_order():
            advice = f" {verdict.advice}" if verdict.advice else ""
            lines.append(f"{verdict.state:<8} {check:<{_WIDEST}}  {_printable(verdict.says + advice)}")
        return "\n".join([*lines, self._summary()])

    def show(self, console: Console) -> None:
        """A table for a terminal, whose marks differ without colour too; what was skipped is summed up."""
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        has_marks = console.encoding.lower().startswith("utf")
        omitted: dict[str, list[str]] = {}
        for check, verdict in self._in_order():
            if verdict.state is State.SKIPPED and not verdict.advice:
                omitted.setdefault(verdict.says, []).append(check)
                continue
            mark, style = _MARKS[verdict.state]
            sentence = Text(_printable(verdict.says))
            if verdict.advice:
                sentence.append(f"\n{_printable(verdict.advice)}", style="dim")
            table.add_row(Text(mark if has_marks else _PLAIN_MARKS[verdict.state], style=style), Text(check), sentence)
        console.print(table)
        for because, checks in omitted.items():
            console.print(Text(f"\nNot looked at: {', '.join(checks)}. {because}", style="dim"))
        console.print()
        console.print(Text(self._summary(), style="bold"))

    def _in_order(self) -> list[tuple[str, Verdict]]:
        return [(check, self.findings[check]) for check in CHECKS]

    def _summary(self) -> str:
        states = Counter(verdict.state for verdict in self.findings.values())
        counted = [
            "no problem" if self.healthy else _counted(states[State.PROBLEM], "problem"),
            _counted(states[State.WARNING], "warning"),
            f"{states[State.OK]} ok",
            f"{states[State.SKIPPED]} skipped",
        ]
        return f"Onbrand {__version__}: {', '.join(counted)}."


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _printable(text: str) -> str:
    """Without line breaks and control characters: parts of some sentences are other programs' words."""
    return "".join(char if char.isprintable() else " " for char in text)
