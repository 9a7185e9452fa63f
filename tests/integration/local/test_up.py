"""`onbrand up`: everything starts in order, is supervised, and stops without leaving anything behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from onbrand.config import REPOSITORY
from onbrand.packs.manifest import load_pack
from tests.system import System, descendants, free_port, is_alive, onbrand, running_system, wait_until


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up") / "data directory"


@pytest.fixture
def system(data_dir: Path, page: Path) -> Iterator[System]:
    """A system that is ready; all tests of this file start it on the same data."""
    with running_system(data_dir, WEB_DIR=str(page)) as system:
        system.wait_until_ready()
        yield system


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of the page; what is in it does not matter here."""
    directory = tmp_path_factory.mktemp("page")
    (directory / "assets").mkdir()
    (directory / "index.html").write_text("<!doctype html><title>Onbrand</title>")
    return directory


def worker_of(system: System) -> int:
    """The worker's process id."""

    def find() -> int:
        for pid in descendants(system.process.pid):
            if b"onbrand\0worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return 0

    return wait_until(find)


def test_a_model_without_a_pack_starts_and_draws_with_the_first_one(tmp_path: Path, page: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(REPOSITORY / "models" / "mini", base, ignore=shutil.ignore_patterns("sample", "recipe"))
    sample = REPOSITORY / "models" / "mini" / "sample"
    chosen = {"DATA_DIR": str(tmp_path / "data"), "MODEL_PATH": str(base)}
    with running_system(tmp_path / "data", WEB_DIR=str(page), MODEL_PATH=str(base)) as system:
        wait_until(lambda: "No brand pack is live" in system.log)
        onbrand("pack", "add", str(sample), **chosen).check_returncode()
        promoted = onbrand("pack", "promote", load_pack(sample).id, "--without-sign-off", "the first one", **chosen)
        promoted.check_returncode()
        system.wait_until_ready()


def test_ctrl_c_stops_everything_and_the_next_start_has_the_data(data_dir: Path, page: Path) -> None:
    with running_system(data_dir, WEB_DIR=str(page)) as system:
        system.wait_until_ready()
        token = system.command("token")
        status, accepted = system.request("POST", "/generate", token, {"prompt": "a teapot"})
        assert status == 202
        children = descendants(system.process.pid)
        # In the middle of the drawing: it is finished first, or handed back.
        assert system.stop(signal.SIGINT) == 0
        assert [pid for pid in children if is_alive(pid)] == []
        assert f"Onbrand is ready: http://localhost:{system.port}" in system.log
    with running_system(data_dir, system.port, WEB_DIR=str(page)) as system:
        system.wait_until_ready()
        path = f"/jobs/{accepted['job_id']}"
        # The same token: the signing key is kept, so nobody has to sign in again.
        assert wait_until(lambda: system.request("GET", path, token)[1]["status"] == "complete", 30)
        assert system.stop() == 0


def test_a_killed_supervisor_leaves_nothing_running_and_the_next_start_works(data_dir: Path, page: Path) -> None:
    with running_system(data_dir, WEB_DIR=str(page)) as system:
        system.wait_until_ready()
        children = descendants(system.process.pid)
        system.process.kill()
        system.process.wait()
        wait_until(lambda: not any(map(is_alive, children)), 30)
    with running_system(data_dir, WEB_DIR=str(page)) as system:
        wait_until(lambda: "Onbrand is ready" in system.log)
        # Not before its own model is loaded, though a worker of the killed system was alive a moment ago.
        assert system.log.index("The model is loaded") < system.log.index("Onbrand is ready")


def test_a_killed_worker_is_started_again_and_its_job_is_finished(system: System) -> None:
    token = system.command("token")
    path = ""

    def is_drawing() -> bool:
        return bool(system.request("GET", path, token)[1]["status"] == "processing")

    _, accepted = system.request("POST", "/generate", token, {"prompt": "a red backpack"})
    path = f"/jobs/{accepted['job_id']}"
    wait_until(is_drawing, 10)
    os.kill(worker_of(system), signal.SIGKILL)
    wait_until(lambda: "The worker ended" in system.log, 10)
    system.wait_until_ready()
    # Long before the lease of 45 s is over: the supervisor has seen the worker's end.
    assert wait_until(lambda: system.request("GET", path, token)[1]["status"] == "complete", 30)


def test_a_killed_postgresql_is_started_again(system: System) -> None:
    pid = int((system.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "PostgreSQL ended by itself" in system.log, 10)
    wait_until(lambda: system.readiness().get("database"), 30)
    token = system.command("token")
    status, _ = system.request("POST", "/generate", token, {"prompt": "a teapot"})
    assert status == 202


def test_a_second_system_on_the_same_data_is_refused(system: System, page: Path) -> None:
    refused = onbrand("up", DATA_DIR=str(system.data_dir), PORT=str(free_port()), WEB_DIR=str(page))
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        "onbrand: Onbrand is already running on this data directory. Stop it, or set another ONBRAND_DATA_DIR."
    ]


def test_a_busy_port_is_one_plain_sentence(tmp_path: Path, page: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = onbrand("up", DATA_DIR=str(tmp_path / "data"), PORT=str(port), WEB_DIR=str(page))
    assert refused.returncode == 78
    assert refused.stderr.splitlines() == [
        f"onbrand: Port {port} is taken by another program. Stop that, or set another ONBRAND_PORT."
    ]


def test_a_program_that_localhost_means_to_a_browser_counts_as_well(tmp_path: Path, page: Path) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        port = other.getsockname()[1]
        refused = onbrand("up", DATA_DIR=str(tmp_path / "data"), PORT=str(port), WEB_DIR=str(page))
    assert (refused.returncode, "is taken by another program" in refused.stderr) == (78, True)


def test_weights_that_are_nowhere_are_said_before_anything_is_started(tmp_path: Path, page: Path) -> None:
    settings = {"DATA_DIR": str(tmp_path / "data"), "PORT": str(free_port()), "WEB_DIR": str(page)}
    refused = onbrand("up", MODEL_PATH=str(tmp_path / "nowhere"), **settings)
    assert (refused.returncode, refused.stderr.count("\n")) == (78, 1)
    assert str(tmp_path / "nowhere") in refused.stderr
    assert not (tmp_path / "data" / "postgres").exists()


def test_a_data_directory_that_cannot_be_made_is_one_plain_sentence(tmp_path: Path, page: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    refused = onbrand("up", DATA_DIR=str(tmp_path / "file" / "data"), PORT=str(free_port()), WEB_DIR=str(page))
    assert refused.returncode == 78
    assert refused.stderr.count("\n") == 1
    assert "Point ONBRAND_DATA_DIR to a folder that you may write." in refused.stderr


def test_a_page_that_is_not_built_is_one_plain_sentence(tmp_path: Path) -> None:
    refused = onbrand("up", DATA_DIR=str(tmp_path / "data"), PORT=str(free_port()), WEB_DIR=str(tmp_path / "none"))
    assert refused.returncode == 78
    assert refused.stderr.count("\n") == 1
    assert f"There is no page in {tmp_path / 'none'}: correct ONBRAND_WEB_DIR" in refused.stderr


@pytest.mark.parametrize("damage", ["missing", "flipped"])
def test_damaged_weights_end_everything_with_one_plain_sentence(tmp_path: Path, page: Path, damage: str) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(REPOSITORY / "models" / "mini", weights)
    lora = weights / "sample" / "lora.safetensors"
    if damage == "missing":
        lora.unlink()
    else:
        content = bytearray(lora.read_bytes())
        content[-1] ^= 1
        lora.write_bytes(content)
    with running_system(tmp_path / "data", WEB_DIR=str(page), MODEL_PATH=str(weights)) as system:
        assert system.process.wait(60) == 78
        sentences = [line for line in system.log.splitlines() if "lora.safetensors" in line]
    assert len(sentences) == 1
    assert sentences[0].startswith("onbrand: The file lora.safetensors")
    assert "Traceback" not in system.log
