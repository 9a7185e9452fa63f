"""A built page, and settings with which nothing is a problem."""

from __future__ import annotations

from pathlib import Path

import pytest

from onbrand.config import Settings
from tests.system import free_port


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("page")
    (directory / "index.html").write_text("<!doctype html>")
    return directory


@pytest.fixture
def chosen(settings: Settings, page: Path, database_url: str) -> dict[str, str]:
    """Settings with which nothing is a problem."""
    return {
        "DATA_DIR": str(settings.data_dir),
        "WEB_DIR": str(page),
        "PORT": str(free_port()),
        "DATABASE_URL": database_url,
    }
