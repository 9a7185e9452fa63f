"""`onbrand dataset check`: what a designer should know about a folder of illustrations, and a page to look at."""

from __future__ import annotations

import json
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onbrand.cli.long_work import Telling
from onbrand.cli.output import AsJson, silence_logs
from onbrand.errors import ConfigError, DatasetRefused

if TYPE_CHECKING:
    from onbrand.dataset.check import Checked
    from onbrand.dataset.findings import Finding

_PACKAGES = ("numpy", "PIL")  # of the extra `worker`
_MARKS = {"error": "✗", "warning": "!", "note": "·"}


def check_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder with pictures and captions; only read.")],
    fix: Annotated[
        Path | None,
        typer.Option(
            "--fix",
            metavar="OUT",
            help="Write normalised pictures and captions into a new folder, if nothing is wrong.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE", help="Where the page goes. Default: into OUT, or a file for temporary use."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a folder of illustrations: every picture and caption, in a designer's words. The folder is only read."""
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise ConfigError(f"To check pictures, {' and '.join(missing)} are needed. Install the extra `worker`.")
    from onbrand.dataset.check import check
    from onbrand.dataset.fix import is_inside, require_free, write_fixed, write_report
    from onbrand.dataset.report import page

    silence_logs()
    warnings.simplefilter("ignore")  # Pillow's about a file: the findings say it in plain words
    if fix is not None:
        require_free(fix, folder)
    if report is not None and is_inside(report, folder):
        raise DatasetRefused("The report would be inside the folder, which is never touched. Name a file elsewhere.")
    with Telling() as tell:
        checked = check(folder, tell, keep_pictures=fix is not None)
        html = page(checked)
        is_fixed = fix is not None and checked.is_usable
        if fix is not None and is_fixed:
            write_fixed(checked, fix, html if report is None else None, tell)
    if fix is not None and is_fixed and report is None:
        where = fix / "report.html"
    else:
        where = report or Path(tempfile.mkdtemp(prefix="onbrand-dataset-")) / "report.html"
        write_report(where, html)
    if as_json:
        typer.echo(json.dumps(_document(checked, where, fix if is_fixed else None), indent=2, ensure_ascii=False))
    else:
        _show(checked, where, fix, is_fixed)
    raise typer.Exit(0 if checked.is_usable else 1)


def _document(checked: Checked, report: Path, fixed: Path | None) -> dict[str, Any]:
    from onbrand.dataset.features import FEATURES

    pictures = []
    for entry in checked.survey.entries:
        seen, features = checked.survey.seen.get(entry.name), checked.features.get(entry.name)
        pictures.append(
            {
                "name": entry.name,
                "caption": checked.survey.captions.get(entry.name),
                "width": seen.size[0] if seen else None,
                "height": seen.size[1] if seen else None,
                "sha256": seen.digest if seen else None,
                "features": {name: round(getattr(features, name), 5) for name in FEATURES} if features else None,
            }
        )
    shares = zip(checked.palette.codes, checked.palette.shares.tolist(), strict=True)
    return {
        "folder": str(checked.folder),
        "usable": checked.is_usable,
        "digest": checked.digest,
        "ground": checked.survey.ground,
        "palette": [{"colour": code, "share": round(share, 4)} for code, share in shares],
        "pictures": pictures,
        "findings": [
            {
                "id": finding.kind,
                "severity": str(finding.severity),
                "file": finding.file,
                "others": list(finding.others),
                "cause": finding.cause,
                "remedy": finding.remedy,
            }
            for finding in checked.findings
        ],
        "report": str(report),
        "fixed": str(fixed) if fixed is not None else None,
    }


def _show(checked: Checked, report: Path, fix: Path | None, is_fixed: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from onbrand.dataset.findings import Severity, shown

    screen = Console(highlight=False, soft_wrap=True)
    colours = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
    for severity in Severity:
        findings = [finding for finding in checked.findings if finding.severity is severity]
        for finding in findings:
            line = Text().append(f"{_MARKS[severity]} {severity}  ", style=colours[severity])
            line.append(f"{finding.file or 'the folder'}: ", style="bold")
            screen.print(line.append(_cause_and_remedy(finding)))
    count = len(checked.survey.entries)
    told = ", ".join(
        f"{number} {severity}{'' if number == 1 else 's'}"
        for severity in Severity
        if (number := checked.count(severity))
    )
    verdict = "can be used" if checked.is_usable else "can't be used yet"
    screen.print(Text(f"{count} picture{'' if count == 1 else 's'}, {told or 'nothing to say'}: the folder {verdict}."))
    if fix is not None:
        screen.print(
            Text(f"Written to {shown(str(fix))}." if is_fixed else "Nothing was written, because of the errors.")
        )
    screen.print(Text(f"To look at: {shown(str(report.absolute()))}"))


def _cause_and_remedy(finding: Finding) -> str:
    return f"{finding.cause} {finding.remedy}".strip()
