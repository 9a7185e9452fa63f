"""`python -m infra.check [FOLDER]`: prints each finding as file:line: text, and exits with 1 if there is one."""

from __future__ import annotations

import sys
from pathlib import Path

from infra.check.files import check_files, read_all
from infra.check.rules import check_rules
from infra.check.settings import check_settings
from infra.check.tree import Finding


def check(folder: Path) -> list[Finding]:
    """Everything that is wrong with the Bicep files below a folder."""
    templates = read_all(folder)
    if not templates:
        return [Finding(str(folder), 1, "there is no Bicep file here")]
    return sorted({*check_files(templates), *check_rules(templates), *check_settings(templates)})


def main() -> int:
    """Check the folder that is named, or the one that this package is in."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    findings = check(folder)
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
