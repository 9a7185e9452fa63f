"""What a check found, and how all findings are shown: as a table, as lines, as JSON.

The other files of this room decide what is checked and when it is a problem.
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

#: Every check and what it looks at, in the order of the report. Every report has every check once.
CHECKS = {
    "settings": "the settings are accepted, and none is misspelt",
    "python": "the interpreter",
    "data_dir": "the data directory can be written",
    "disk": "there is room on the disk",
    "page": "the web page is built",
    "port": "the port is free, or Onbrand answers on it and is ready",
    "gpu": "torch sees a GPU",
    "model": "every byte of the model's weights, and of the pack bundled with them, is as in their manifests",
    "review": "a designer has approved the brand pack that is live",
    "sign_in": "the identity provider is the configured one, and publishes its keys",
    "members": "who may sign in",
    "origins": "which pages of other origins may call the API",
    "database": "we can connect to PostgreSQL",
    "postgresql": "its version, and that it accepts changes",
    "role": "the role has no more rights than it needs",
    "transport": "the connection is encrypted, and the server's certificate is checked",
    "session": "our sessions have the time zone and the time limit that we asked for",
    "clock": "the clocks of the database and of this machine agree",
    "connections": "enough connections are free for one more API and one more worker",
    "rights": "the role may use all of our tables",
    "schema": "the schema is this version's",
    "images": "the image store stores, returns and deletes an object",
    "soft_delete": "deleted images are really gone",
    "workers": "workers are alive, with a model loaded",
    "budget": "the month's money for GPUs, and whether their starts succeed",
    "pack": "no worker refuses the brand pack that is live",
    "waiting": "how many jobs wait, and for how long",
    "leases": "no running job is past its lease",
    "deliveries": "each waiting job has its delivery in the queue",
    "failures": "how many jobs failed in the last 24 hours, and why",
    "sweep": "somebody looks for lost jobs",
    "deletion": "expired jobs are deleted, and nothing is held back",
    "overdue": "no job still exists a day after it should have been deleted",
    "comparison": "the database's rows and the stored images are compared",
    "missing_images": "the store has the images of all complete jobs",
    "damaged_images": "the stored images are what they were, as far as they were read within a week",
    "retention": "how long jobs are kept; backups keep them for longer",
}
_WIDEST = max(map(len, CHECKS))


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"  # it works, and somebody should know
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
    """What a check found: a sentence, and what to do; None if there is nothing to do."""

    state: State
    says: str
    advice: str | None = None


Findings = dict[str, Verdict]  # by name of the check


def ok(says: str, advice: str | None = None) -> Verdict:
    """Everything is as it should be."""
    return Verdict(State.OK, says, advice)


def warning(says: str, advice: str) -> Verdict:
    """It works, but somebody should know."""
    return Verdict(State.WARNING, says, advice)


def problem(says: str, advice: str | None = None) -> Verdict:
    """Somebody must do something. `advice` is None if the sentence itself says what, as our errors do."""
    return Verdict(State.PROBLEM, says, advice)


def skipped(because: str, advice: str | None = None) -> Verdict:
    """This was not checked."""
    return Verdict(State.SKIPPED, because, advice)


@dataclass(frozen=True)
class Report:
    """One verdict for each of `CHECKS`."""

    findings: Findings

    def __post_init__(self) -> None:
        if set(self.findings) != set(CHECKS):
            raise ValueError(f"the findings are not those of all checks: {set(self.findings) ^ set(CHECKS)}")

    @property
    def healthy(self) -> bool:
        """Whether nothing is a problem. Warnings do not count."""
        return all(verdict.state is not State.PROBLEM for verdict in self.findings.values())

    def as_json(self) -> str:
        """One JSON document. `checks` has the order of `CHECKS`. `advice` is null if there is nothing to do."""
        checks = [
            {"check": check, "state": verdict.state, "says": verdict.says, "advice": verdict.advice}
            for check, verdict in self._in_order()
        ]
        return json.dumps({"version": __version__, "healthy": self.healthy, "checks": checks}, indent=2)

    def as_lines(self) -> str:
        """One line per check, which begins with its state."""
        lines = []
        for check, verdict in self._in_order():
            advice = f" {verdict.advice}" if verdict.advice else ""
            lines.append(f"{verdict.state:<8} {check:<{_WIDEST}}  {_printable(verdict.says + advice)}")
        return "\n".join([*lines, self._summary()])

    def show(self, console: Console) -> None:
        """Print a table for a terminal. The marks differ without colour, too. Skipped checks are summed up below."""
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
            console.print(Text(f"\nNot checked: {', '.join(checks)}. {because}", style="dim"))
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
    """The text without line breaks and control characters, because it can quote other programs."""
    return "".join(char if char.isprintable() else " " for char in text)
