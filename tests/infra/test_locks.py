"""The packages of the images are locked with hashes, and are the ones that everything else is tested with."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from infra.docker.without_gpu import without_gpu
from onbrand.config import REPOSITORY

DOCKER = REPOSITORY / "infra" / "docker"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def entries(lock: str) -> dict[str, str]:
    """Each line that names a package, with everything that belongs to it."""
    found = re.split(r"\n(?=\S)", lock.strip())
    return {entry.partition(" \\")[0]: entry for entry in found}


def normal(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


@pytest.mark.parametrize(("name", "extras"), [("api", ()), ("worker", ("worker",))])
def test_the_lock_of_an_image_is_constraints_txt_with_hashes(name: str, extras: tuple[str, ...]) -> None:
    lock = entries((DOCKER / f"{name}.txt").read_text(encoding="utf-8"))
    pinned = set((REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines())
    assert {line for line in lock if line not in pinned} == set()
    assert [line for line, entry in lock.items() if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)] == []
    wanted = [*PROJECT["dependencies"], *(one for extra in extras for one in PROJECT["optional-dependencies"][extra])]
    assert {normal(one) for one in wanted} <= {normal(line) for line in lock}


def test_the_api_holds_nothing_of_the_model() -> None:
    lock = {normal(line) for line in entries((DOCKER / "api.txt").read_text(encoding="utf-8"))}
    assert not lock & {"torch", "diffusers", "transformers", "numpy", "pillow"}


def test_without_a_gpu_only_torch_is_another_file(tmp_path: Path) -> None:
    lock = (DOCKER / "worker.txt").read_text(encoding="utf-8")
    version = PROJECT["optional-dependencies"]["worker"][-2].removeprefix("torch==")
    wheel = tmp_path / f"torch-{version}+cpu-cp311-cp311-linux_x86_64.whl"
    wheel.write_bytes(b"a wheel")
    kept = entries(without_gpu(lock, wheel))
    assert f"torch=={version}+cpu" in kept
    assert not any(line.startswith(("nvidia-", "cuda-", "triton")) for line in kept)
    assert len(kept) > 50
    with pytest.raises(ValueError, match="is not torch"):
        without_gpu(lock, tmp_path / "torch-1.0.0-cp311-cp311-linux_x86_64.whl")


@pytest.mark.parametrize("name", ["api", "worker"])
def test_an_image_runs_as_nobody_in_particular_and_holds_no_compiler_and_no_weights(name: str) -> None:
    lines = (DOCKER / f"{name}.Dockerfile").read_text(encoding="utf-8").splitlines()
    last = lines[len(lines) - 1 - lines[::-1].index("FROM ${BASE}") :]
    assert "USER 10001:10001" in last
    assert not [line for line in last if re.search(r"apt|pip|gcc|models/", line)]
    assert any("--require-hashes --only-binary :all:" in line for line in lines)


def test_nothing_is_sent_to_the_builder_but_what_an_image_holds() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {line for line in rules if line.startswith("!")} == {
        "!onbrand",
        "!web/dist",
        "!infra/docker",
        "!LICENSE",
        "!NOTICE",
    }
