"""A second opinion by checkov, which brings 100 packages and so has an environment of its own: `make checkov`.

checkov succeeds on a file that it can't parse. Here that is a failure, and so is a run that saw no resource.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What checkov finds in our files, and why it stays. docs/adr/0026-azure-by-bicep-and-hooks.md says more.
ANSWERED = {
    "CKV_AZURE_35": "access is by role; a private network costs more than the budget",
    "CKV_AZURE_43": "a false alarm: the account's name is computed",
    "CKV_AZURE_131": "a false alarm: a new random value each time",
    "CKV_AZURE_139": "only in the registry's Premium plan, which costs the whole budget",
    "CKV_AZURE_163": "only in the registry's Premium plan",
    "CKV_AZURE_166": "only in the registry's Premium plan",
    "CKV_AZURE_206": "best effort is what the specification asks for",
}


def problems(report: dict[str, Any]) -> Iterator[str]:
    """What a report says that is not answered."""
    summary = report.get("summary", report)  # a run that saw nothing has no summary
    if not summary.get("resource_count"):
        yield "checkov saw no resource"
    results = report.get("results", {})
    for file in results.get("parsing_errors", []):
        yield f"{file}:1: checkov can't parse it"
    if summary.get("parsing_errors") and not results.get("parsing_errors"):
        yield f"checkov can't parse {summary['parsing_errors']} files"
    for check in results.get("failed_checks", []):
        if check["check_id"] not in ANSWERED:
            yield (
                f"{check['file_path'].lstrip('/')}:{check['file_line_range'][0]}: {check['check_id']}"
                f" {check['check_name']}"
            )


def main() -> int:
    """Run checkov over the Bicep files. Its path is the first argument."""
    folder = Path(__file__).resolve().parent.parent
    command = [sys.argv[1], "-d", str(folder), "--framework", "bicep", "--skip-download", "--compact", "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        sys.stderr.write(f"checkov printed no report: {done.stderr.strip()[-300:]}\n")
        return 1
    found = list(problems(report))
    for problem in found:
        sys.stdout.write(f"{problem}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
