"""`python -m tests.guards [WORD …] [-j N] [--json]`: take guards away, those with such a word in their name, or all.

Prints a Markdown table. Exit code 0 if each was noticed by a test that fails, 1 if not, 2 for a word no name has.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.guards.guard import Guard
from tests.guards.guards import GUARDS
from tests.guards.taking_away import Failure, Finding, Outcome, failing_anyway, without


def main(arguments: Sequence[str]) -> int:
    """Take the chosen guards away, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.guards", description="Take guards away; a test must notice.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="only guards with this in their name")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="how many at the same time (1)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    chosen = parser.parse_args(arguments)
    guards = [guard for guard in GUARDS if not chosen.words or any(word in guard.name for word in chosen.words)]
    if not guards:
        sys.stderr.write("No guard has such a word in its name.\n")
        return 2
    findings = examine(guards, chosen.jobs)
    sys.stdout.write(as_json(findings) if chosen.json else as_table(findings))
    return 0 if all(finding.outcome is Outcome.NOTICED for finding in findings) else 1


def examine(guards: Sequence[Guard], jobs: int = 1) -> list[Finding]:
    """What becomes of each guard; tells the progress on standard error."""
    started = time.monotonic()
    tell(f"{len(guards)} guards. First their tests on an unchanged copy.")
    fails = failing_anyway(guards)
    tell(f"That took {time.monotonic() - started:.0f} s.")
    done = 0

    def one(guard: Guard) -> Finding:
        nonlocal done
        finding = _finding(guard, fails)
        done += 1
        tell(f"{done:3}/{len(guards)}  {finding.outcome:15} {finding.seconds:5.1f} s  {guard.name}")
        return finding

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, guards))


def _finding(guard: Guard, fails: dict[str, Failure | str]) -> Finding:
    for test in guard.tests:
        match fails.get(test):
            case Failure() as failure:
                return Finding(guard, Outcome.FAILS_ANYWAY, failure.test, failure.message)
            case str(trouble):
                return Finding(guard, Outcome.FAILS_ANYWAY, message=trouble)
    return without(guard)


def as_table(findings: Sequence[Finding]) -> str:
    """The findings in Markdown."""
    rows = ["| guard | outcome | caught by | seconds |", "|---|---|---|---|"]
    for finding in findings:
        caught = finding.caught_by.removeprefix("tests/") or finding.message
        rows.append(f"| {finding.guard.name} | {finding.outcome} | {caught} | {finding.seconds} |")
    noticed = sum(finding.outcome is Outcome.NOTICED for finding in findings)
    seconds = sum(finding.seconds for finding in findings)
    return "\n".join([*rows, "", f"{noticed} of {len(findings)} guards were noticed ({seconds:.0f} s of tests).", ""])


def as_json(findings: Sequence[Finding]) -> str:
    """The findings for a script."""
    rows = [
        {
            "guard": finding.guard.name,
            "place": finding.guard.place,
            "tests": finding.guard.tests,
            "outcome": finding.outcome,
            "caught_by": finding.caught_by,
            "message": finding.message,
            "seconds": finding.seconds,
        }
        for finding in findings
    ]
    return json.dumps(rows, indent=2) + "\n"


def tell(line: str) -> None:
    """Progress, which a redirected table must not contain."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
