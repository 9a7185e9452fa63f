"""`onbrand dataset check` as a designer uses it: what it says, what it writes, and what it leaves alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess
from threading import Lock
from typing import Any
from weakref import ref

import numpy as np
import pytest
from PIL import Image

from onbrand.dataset import survey as reading
from onbrand.dataset.check import check
from onbrand.dataset.fix import write_fixed
from onbrand.dataset.folder import Entry
from onbrand.dataset.picture_file import Decoded, decode
from onbrand.dataset.reader import read_dataset
from onbrand.dataset.report import page
from onbrand.dataset.survey import survey
from onbrand.errors import DataDirUnwritable
from tests.profiles import P3, screen_profile
from tests.studio import GROUND, draw, write_studio
from tests.system import environment, onbrand


def run(*arguments: str | Path) -> CompletedProcess[str]:
    return onbrand("dataset", "check", *map(str, arguments))


def document(done: CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.iterdir())}


@pytest.fixture
def studio(tmp_path: Path) -> Path:
    """Sound pictures of many kinds: nothing that must be mended, some that is done."""
    folder = write_studio(tmp_path / "studio", 3)
    draw(3, 1400)[0].save(folder / "p3.png", icc_profile=screen_profile("Display P3", P3, 2.2))
    sticker = Image.new("RGBA", (1500, 1024), (0, 0, 0, 0))
    sticker.paste((200, 30, 40, 255), (500, 200, 1000, 800))
    sticker.save(folder / "чашка.webp", lossless=True)
    draw(4, 1024)[0].save(folder / "photo.jpg", quality=95)
    for name, caption in (("p3", "a phone"), ("чашка", "a red cup"), ("photo", "a <b>lamp</b> & more")):
        (folder / f"{name}.txt").write_text(caption, "utf-8")
    return folder


def test_a_folder_is_checked_and_written_anew(studio: Path, tmp_path: Path) -> None:
    before = state(studio)
    out = tmp_path / "ready"
    done = run(studio, "--fix", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-3:] == [
        "6 pictures, 1 warning, 3 notes: the folder can be used.",
        f"Written to {out}.",
        f"To look at: {out / 'report.html'}",
    ]
    assert "Reading pictures: 6 of 6" in done.stderr  # a line at each tenth, because it is no terminal
    assert state(studio) == before
    stems = ["01-mug", "02-bottle", "03-bag", "p3", "photo", "чашка"]
    assert sorted(os.listdir(out)) == sorted(
        [f"{s}.png" for s in stems] + [f"{s}.txt" for s in stems] + ["report.html"]
    )
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []
    given, written = read_dataset(studio), read_dataset(out)
    assert [one.digest for one in given.illustrations] == [one.digest for one in written.illustrations]
    assert [one.caption for one in given.illustrations] == [one.caption for one in written.illustrations]
    for one in written.illustrations:
        with Image.open(one.path) as image:
            assert (image.format, image.size, image.mode, image.info) == ("PNG", (1024, 1024), "RGB", {})
    cup = np.asarray(Image.open(out / "чашка.png"))
    assert "#" + bytes(cup[2, 2]).hex() == GROUND


def test_what_was_written_anew_has_nothing_to_be_done(studio: Path, tmp_path: Path) -> None:
    out = tmp_path / "ready"
    assert run(studio, "--fix", out).returncode == 0
    again = document(run(out, "--json", "--report", tmp_path / "again.html"))
    assert {one["id"] for one in again["findings"]} == {"few_pictures"}
    assert again["usable"]


def test_with_an_error_nothing_is_written_and_the_exit_code_says_so(studio: Path, tmp_path: Path) -> None:
    (studio / "p3.txt").unlink()
    done = run(studio, "--fix", tmp_path / "ready", "--report", tmp_path / "look.html")
    assert done.returncode == 1
    assert "p3.png: It has no caption" in done.stdout
    assert "Nothing was written, because of the errors." in done.stdout
    assert not (tmp_path / "ready").exists()
    assert (tmp_path / "look.html").exists()


def test_json_says_everything(studio: Path, tmp_path: Path) -> None:
    done = run(studio, "--json", "--report", tmp_path / "look.html")
    found = document(done)
    assert done.returncode == 0
    assert found["digest"] == read_dataset(studio).digest
    assert (found["ground"], found["fixed"], found["report"]) == (GROUND, None, str(tmp_path / "look.html"))
    assert "#f291b0" in {one["colour"] for one in found["palette"]}
    cup = next(one for one in found["pictures"] if one["name"] == "чашка.webp")
    assert (cup["caption"], cup["width"], cup["height"]) == ("a red cup", 1500, 1024)
    assert 0 < cup["features"]["fill"] < 1
    kinds = {(one["id"], one["severity"], one["file"]) for one in found["findings"]}
    assert {("colour_profile", "note", "p3.png"), ("transparent", "note", "чашка.webp")} <= kinds


@pytest.mark.parametrize(
    ("out", "why"),
    [
        ("full", "holds something already"),
        ("file", "is no folder"),
        ("studio/ready", "inside each other"),
        (".", "inside"),
    ],
)
def test_nothing_that_is_there_is_written_into(out: str, why: str, studio: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    (tmp_path / "file").touch()
    before = state(studio)
    done = run(studio, "--fix", tmp_path / out)
    assert (done.returncode, done.stdout) == (1, "")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1
    assert state(studio) == before
    assert os.listdir(tmp_path / "full") == ["mine.txt"]


def test_a_report_never_lands_in_the_studios_folder(studio: Path, tmp_path: Path) -> None:
    before = state(studio)
    assert "never touched" in run(studio, "--report", studio / "report.html").stderr
    (tmp_path / "way").symlink_to(studio)
    assert run(studio, "--report", tmp_path / "way" / "report.html").returncode == 1
    assert state(studio) == before


def test_a_missing_folder_is_one_plain_line(tmp_path: Path) -> None:
    done = run(tmp_path / "none")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"onbrand: There is no folder {tmp_path / 'none'}. Name the folder with the illustrations.\n"


def test_a_full_disk_leaves_nothing_behind(studio: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: the system refuses the write in the same place."""
    out = tmp_path / "ready"
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000));"
        "sys.argv = ['onbrand', *sys.argv[1:]]; from onbrand.__main__ import run; run()"
    )
    command = [sys.executable, "-c", script, "dataset", "check", str(studio), "--fix", str(out)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 78
    assert "can't be written (File too large), and nothing was left there" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["studio"]


def test_a_write_that_is_killed_leaves_no_folder(studio: Path, tmp_path: Path) -> None:
    """Killed while the last picture is written, before the folder gets its name."""
    out = tmp_path / "ready"
    script = (
        "import os, sys; import onbrand.dataset.fix as fix; whole = fix._sync;"
        "fix._sync = lambda folder: os.kill(os.getpid(), 9);"
        "sys.argv = ['onbrand', *sys.argv[1:]]; from onbrand.__main__ import run; run()"
    )
    command = [sys.executable, "-c", script, "dataset", "check", str(studio), "--fix", str(out)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    assert run(studio, "--fix", out).returncode == 0


def test_what_is_written_is_what_was_checked(studio: Path, tmp_path: Path) -> None:
    checked = check(studio, keep_pictures=True)
    draw(9)[0].save(studio / "02-bottle.png")
    write_fixed(checked, tmp_path / "ready", None)
    written = read_dataset(tmp_path / "ready").illustrations[1]
    assert written.digest == checked.survey.seen["02-bottle.png"].digest


def test_a_folder_that_may_not_be_written_is_said(studio: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirUnwritable, match="can't be written"):
        write_fixed(check(studio, keep_pictures=True), tmp_path / "file" / "ready", None)


def test_an_empty_folder_may_be_the_place(studio: Path, tmp_path: Path) -> None:
    (tmp_path / "ready").mkdir()
    write_fixed(check(studio, keep_pictures=True), tmp_path / "ready", None)
    assert len(list((tmp_path / "ready").glob("*.png"))) == 6


def test_the_page_is_whole_in_itself_and_runs_nothing_of_other_peoples_text(studio: Path) -> None:
    (studio / "<img src=x onerror=alert(1)>.png").write_bytes((studio / "01-mug.png").read_bytes())
    (studio / "<img src=x onerror=alert(1)>.txt").write_text("<script>alert(1)</script>")
    html = page(check(studio))
    assert "<script" not in html
    assert "<img src=x" not in html
    assert "a &lt;b&gt;lamp&lt;/b&gt; &amp; more" in html
    assert re.findall(r'(?:src|href)="(?!data:image/webp;base64,|#)', html) == []
    assert "url(" not in html
    assert "default-src 'none'" in html.replace("&#x27;", "'")
    assert len(re.findall(r'id="finding-\d+"', html)) == len(set(re.findall(r'id="(finding-\d+)"', html)))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(re.findall(r'id="([^"]+)"', html))


def test_a_page_of_an_empty_folder_can_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "studio").mkdir()
    assert "1 thing must be mended first" in page(check(tmp_path / "studio"))


def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "studio"
    folder.mkdir()
    for index in range(12):
        image = Image.new("RGBA", (800, 800), (0, 0, 0, 0))
        image.paste((200, 10 * index, 40, 255), (200, 100 + 5 * index, 600, 700))
        image.save(folder / f"{index}.png", compress_level=1)
        (folder / f"{index}.txt").write_text(f"a card, number {index}")
    decoded: list[ref[Decoded]] = []
    most = []

    def decode_and_watch(entry: Entry, large: Lock) -> Decoded:
        picture = decode(entry, large)
        decoded.append(ref(picture))
        return picture

    def look(_: np.ndarray) -> None:
        most.append(sum(one() is not None for one in decoded))

    monkeypatch.setattr(reading, "decode", decode_and_watch)
    survey(folder, look)
    assert len(most) == 12
    assert len(decoded) == 24  # once for its border, once to be placed on the ground
    assert max(most) <= 3  # two are being read, and one may be about to go
