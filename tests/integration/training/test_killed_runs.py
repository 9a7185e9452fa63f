"""A run that is killed again and again ends with the same bytes as one that never was."""

from __future__ import annotations

import multiprocessing
import signal
from pathlib import Path

import pytest

from onbrand.dataset.reader import Dataset
from onbrand.packs.base import Base
from onbrand.storage.files import LocalFolder
from onbrand.training.train import train
from tests.integration.training.killed import INSTANTS, run_until
from tests.integration.training.tiny_mini import QUICK

_VARYING = {".lock", "progress.jsonl", "report.html"}  # seconds stand in them


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run, by its path, that doesn't tell the time."""
    found = {path.relative_to(run).as_posix(): path for path in run.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if path.name not in _VARYING}


@pytest.mark.timeout(600)
def test_a_run_that_is_killed_twenty_times_ends_with_the_same_bytes(
    base: Base, dataset: Dataset, tmp_path: Path
) -> None:
    assert isinstance(base.folder, LocalFolder)
    assert train(base, dataset, tmp_path / "whole", QUICK) == (6, 6)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([run_until.__module__])
    data = dataset.illustrations[0].path.parent
    died = []
    for instant in INSTANTS:
        arguments = (instant, base.folder.directory, data, tmp_path / "killed")
        process = context.Process(target=run_until, args=arguments)
        process.start()
        process.join()
        died.append(process.exitcode == -signal.SIGKILL)
    assert sum(died) >= 20
    assert train(base, dataset, tmp_path / "killed", QUICK, is_resumed=True) == (6, 6)
    whole, killed = contents(tmp_path / "whole"), contents(tmp_path / "killed")
    assert killed.keys() == whole.keys()
    assert [name for name in whole if killed[name] != whole[name]] == []
