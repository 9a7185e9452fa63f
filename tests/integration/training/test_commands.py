"""`onbrand train` and `onbrand evaluate` as a person types them: what they print, write, and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onbrand.dataset.reader import Dataset
from onbrand.packs.base import Base
from onbrand.packs.manifest import load_pack
from onbrand.storage.files import LocalFolder
from tests.system import onbrand


@pytest.mark.timeout(600)
def test_from_a_folder_to_a_pack(base: Base, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert isinstance(base.folder, LocalFolder)
    settings = {"MODEL_PATH": str(base.folder.directory), "DATA_DIR": str(tmp_path / "home")}
    data, run = str(dataset.illustrations[0].path.parent), tmp_path / "run"
    trained = onbrand("train", data, "--out", str(run), "--steps", "3", "--learning-rate", "0.5", **settings)
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.splitlines() == [
        f"trained 3 steps; look at {run / 'report.html'}",
        f'next: onbrand evaluate {run} --name "THE BRAND"',
    ]
    assert "Encoding the illustrations: 5 of 5" in trained.stderr
    evaluated = onbrand("evaluate", str(run), "--name", "Studio", "--json", **settings)
    assert evaluated.returncode == 0, evaluated.stderr
    figures = json.loads(evaluated.stdout)
    assert figures["chosen"]["step"] == 3
    (folder,) = (run / "packs").iterdir()
    assert load_pack(folder).id == figures["pack"]["id"]
    assert (run / "evaluation.html").is_file()
    again = onbrand("train", data, "--out", str(run), **settings)
    assert again.returncode == 78
    assert again.stderr.splitlines()[-1].startswith("onbrand: There is a run in ")


def test_a_folder_that_is_no_run_is_refused_in_one_line(tmp_path: Path) -> None:
    done = onbrand("evaluate", str(tmp_path), "--name", "Studio")
    assert done.returncode == 78
    assert done.stderr.splitlines()[-1].startswith("onbrand: There is no training run in ")
