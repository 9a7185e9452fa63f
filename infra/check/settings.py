"""The names of variables in the Bicep files against the settings in `onbrand/config.py`: none too many or too few."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from infra.check.rules import MAIN, environment_names
from infra.check.template import Template
from infra.check.tree import Finding, line
from onbrand.config import Settings

PREFIX = "ONBRAND_"
# Settings that Azure leaves at their defaults or that the images set, and why. Every other setting must be in a file.
LEFT_ALONE = {
    "data_dir": "the image sets it",
    "web_dir": "the page is on a host of its own",
    "metrics_port": "nothing in the resource group scrapes it",
    "storage_azure_endpoint": "derived from the account; national clouds set it",
    "storage_azure_key": "the account takes no keys",
    "entra_group_id": "the role admits; who takes the group instead sets it",
    "entra_metadata_url": "Microsoft's own; national clouds set it",
    "entra_allow_guests": "guests stay outside",
    "denied_users": "none",
    "precision": "chosen by the memory that is free",
    "pack": "the live one",
    "lease_seconds": "the default was measured",
    "max_attempts": "the default was measured",
    "job_deadline_seconds": "the default was measured",
    "max_waiting_seconds": "the default suits",
    "max_queued": "the default suits",
    "max_queued_per_user": "the default suits",
    "max_submitted_per_minute": "the default suits",
    "max_requests_per_second": "the default suits",
    "gpu_start_seconds": "the default suits until starts were measured",
    "warm_seconds": "the default suits",
    "log_level": "the default suits",
    "log_format": "JSON in production",
}
# Settings that the files may give before the code reads them.
COMING: frozenset[str] = frozenset()


def check_settings(templates: Mapping[Path, Template], settings: frozenset[str] | None = None) -> list[Finding]:
    """Names that no setting has, and settings that no file names. `settings` are those of the code."""
    known = frozenset(Settings.model_fields) if settings is None else settings
    findings, named = [], set()
    for template in templates.values():
        for name, number in environment_names(template):
            setting = name.removeprefix(PREFIX).lower()
            named.add(setting)
            if setting not in known | COMING:
                findings.append(Finding(template.name, number, f"{name} is no setting of Onbrand"))
    main = next((template for template in templates.values() if template.name == MAIN), None)
    place = line(main.variables["settings"]) if main is not None and "settings" in main.variables else 1
    findings += [
        Finding(MAIN, place, f"the setting {PREFIX}{name.upper()} is given to nobody, and is not left alone on purpose")
        for name in sorted(known - COMING - named - LEFT_ALONE.keys())
    ]
    findings += [
        Finding(MAIN, place, f"{PREFIX}{name.upper()} is named in LEFT_ALONE, but {problem}")
        for name in sorted(LEFT_ALONE)
        for problem in (
            ["there is no such setting"] if name not in known else ["a file sets it"] if name in named else []
        )
    ]
    return sorted(findings)
