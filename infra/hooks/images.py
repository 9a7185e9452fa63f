"""The registry, and both images in it. Azure builds them, so nobody needs a container engine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from infra.hooks.tools import ROOT, HookFailed, az, remember, say
from infra.hooks.wanted import Wanted

_IMAGES = ("api", "worker")


def build_images(wanted: Wanted) -> None:
    """Build what isn't in the registry. An image is named by what it is made of, so the same source is built once.

    Raises:
        HookFailed: the page isn't built, or a call failed.
    """
    if not (ROOT / "web" / "dist" / "index.html").is_file():
        raise HookFailed("the page isn't built, and the API's image holds it: run `make page`")
    az("group", "create", "--name", wanted.resource_group, "--location", wanted.location)
    made = az(
        *("deployment", "group", "create", "--name", "registry", "--resource-group", wanted.resource_group),
        *("--template-file", "infra/registry.bicep", "--parameters", f"registryName={wanted.registry}"),
    )
    server = str(made["properties"]["outputs"]["server"]["value"])
    repositories = az("acr", "repository", "list", "--name", wanted.registry)
    for name in _IMAGES:
        repository, tag = f"onbrand-{name}", fingerprint(name)
        tags = []
        if repository in repositories:
            tags = az("acr", "repository", "show-tags", "--name", wanted.registry, "--repository", repository)
        if tag not in tags:
            say(f"Building {repository}; this takes some minutes.")
            az(
                *("acr", "build", "--registry", wanted.registry, "--image", f"{repository}:{tag}"),
                *("--file", f"infra/docker/{name}.Dockerfile", "--timeout", "7200", "."),
            )
        remember(f"ONBRAND_{name.upper()}_IMAGE", f"{server}/{repository}:{tag}")
    remember("ONBRAND_REGISTRY", wanted.registry)
    say("Both images are in the registry.")


def fingerprint(name: str) -> str:
    """What an image is made of, in 16 characters."""
    digest = hashlib.sha256()
    for path in _sources(name):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _sources(name: str) -> Iterator[Path]:
    yield from (ROOT / "infra" / "docker" / file for file in (f"{name}.Dockerfile", f"{name}.txt"))
    folders = [ROOT / "onbrand", ROOT / "web" / "dist"] if name == "api" else [ROOT / "onbrand"]
    for folder in folders:
        yield from sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
