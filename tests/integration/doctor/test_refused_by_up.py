"""`onbrand doctor` finds what `onbrand up` would refuse, and names what to change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from onbrand.config import REPOSITORY, Settings
from onbrand.errors import DatabaseServerFailed
from onbrand.local.postgres import EmbeddedPostgres
from tests.integration.doctor.reports import examined
from tests.system import free_port


def test_a_missing_file_of_the_weights_is_told_before_any_is_read(chosen: dict[str, str], tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(REPOSITORY / "models" / "mini", weights)
    names = [file["path"] for file in json.loads((weights / "base.json").read_text())["files"]]
    (weights / names[-1]).unlink()
    (weights / names[0]).write_bytes(b"what reading it would find first")
    told = examined(chosen, weights=True, MODEL_PATH=str(weights))
    assert f"The file {names[-1]} in {weights} is missing" in told.says("model")


@pytest.mark.parametrize("lost", ["postgres.password", "postgres/PG_VERSION"])
def test_an_embedded_database_that_up_would_refuse_is_a_problem(
    settings: Settings, page: Path, tmp_path: Path, lost: str
) -> None:
    tmp_path.chmod(0o755)  # as root the server runs as another user
    with EmbeddedPostgres(settings.data_dir):
        pass
    chosen = {"DATA_DIR": str(settings.data_dir), "WEB_DIR": str(page), "PORT": str(free_port())}
    assert examined(chosen).problems() == []
    (settings.data_dir / lost).unlink()
    assert examined(chosen).problems() == ["database"]
    with pytest.raises(DatabaseServerFailed), EmbeddedPostgres(settings.data_dir):
        pass


def test_a_damaged_key_of_the_local_sign_in_is_a_problem(chosen: dict[str, str], settings: Settings) -> None:
    key = settings.data_dir / "sign-in" / "signing-key.pem"
    key.parent.mkdir(parents=True)
    key.write_text("no key")
    told = examined(chosen)
    assert (told.problems(), "delete the file to make a new one" in told.says("sign_in")) == (["sign_in"], True)


def test_a_wrong_folder_of_the_page_is_told_by_its_setting(chosen: dict[str, str], tmp_path: Path) -> None:
    assert "Correct ONBRAND_WEB_DIR" in examined(chosen, WEB_DIR=str(tmp_path)).says("page")
