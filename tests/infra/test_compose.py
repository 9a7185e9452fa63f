"""The file for one machine says what the images and the settings know."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from onbrand.config import REPOSITORY, load_settings

FILE = REPOSITORY / "infra" / "compose.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
OURS = {name: service for name, service in DOCUMENT["services"].items() if service["image"].startswith("onbrand-")}
EXAMPLE = dict(
    re.findall(
        r"^(\w+)=(.*)$", (REPOSITORY / "infra" / "compose.env.example").read_text(encoding="utf-8"), re.MULTILINE
    )
)
FILLED_IN = {
    "ENTRA_TENANT_ID": "aaaaaaaa-0000-4000-8000-000000000001",
    "ENTRA_API_CLIENT_ID": "aaaaaaaa-0000-4000-8000-000000000002",
    "ENTRA_SPA_CLIENT_ID": "aaaaaaaa-0000-4000-8000-000000000003",
    "DATABASE_PASSWORD": "0123456789abcdef",
    "MODELS_FOLDER": "/srv/models",
    "MODEL": "hidream-i1-dev",
}


def filled(value: str) -> str:
    """A value as compose would see it with the example filled in."""
    return re.sub(r"\$\{(\w+)(?::[?-]([^}]*))?\}", lambda found: FILLED_IN.get(found[1], found[2] or ""), value)


@pytest.mark.parametrize("name", ["migrate", "api", "worker"])
def test_each_service_starts_with_settings_that_are_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in OURS[name]["environment"].items():
        monkeypatch.setenv(key, filled(value))
    settings = load_settings()
    assert {key.removeprefix("ONBRAND_").lower() for key in OURS[name]["environment"]} <= settings.model_fields_set


@pytest.mark.parametrize("name", sorted(OURS.keys() - {"folders"}))
def test_each_service_is_closed(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "ports" not in service


def test_only_the_proxy_is_reached_from_outside() -> None:
    assert [name for name, service in DOCUMENT["services"].items() if "ports" in service] == ["proxy"]
    assert DOCUMENT["services"]["database"]["command"] == ["postgres", "-c", "listen_addresses="]


def test_the_worker_has_the_gpu_and_time_to_finish() -> None:
    worker = OURS["worker"]
    [device] = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert int(worker["stop_grace_period"].rstrip("s")) > int(worker["environment"]["ONBRAND_SHUTDOWN_GRACE_SECONDS"])


def test_every_volume_is_declared_and_used() -> None:
    mounted = {
        volume.partition(":")[0]
        for service in DOCUMENT["services"].values()
        for volume in service.get("volumes", [])
        if re.match(r"[a-z]", volume)
    }
    assert mounted == set(DOCUMENT["volumes"])


def test_every_variable_is_in_the_example() -> None:
    assert set(re.findall(r"\$\{(\w+)", FILE.read_text(encoding="utf-8"))) == set(EXAMPLE)


def test_what_stops_by_itself_comes_back_and_what_ends_does_not() -> None:
    restarts = {name: service.get("restart") for name, service in DOCUMENT["services"].items()}
    assert restarts == {
        **dict.fromkeys(("database", "api", "worker", "proxy"), "unless-stopped"),
        **dict.fromkeys(("migrate", "backup"), "no"),
        "folders": None,
    }
