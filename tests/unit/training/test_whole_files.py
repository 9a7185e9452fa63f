"""Files that are there whole or not at all."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from onbrand.training.whole_files import put_whole, write_whole


def test_a_full_disk_leaves_the_file_that_was_there_and_nothing_half_made(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(path, b"x" * 50_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "before"


def test_whoever_is_interrupted_while_writing_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(partly: Path) -> None:
        partly.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put_whole(tmp_path / "file", interrupted)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "file.partial").write_bytes(b"half")
    write_whole(tmp_path / "file", "whole")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
