"""Each trap in a studio's folder has its finding, with cause and remedy, and the folder itself is never touched."""

from __future__ import annotations

import os
import random
import re
import struct
import sys
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from onbrand.config import REPOSITORY
from onbrand.dataset.check import Checked, check
from onbrand.dataset.findings import KINDS, Finding, Severity
from onbrand.dataset.folder import MOST_FILES, Entry
from onbrand.dataset.picture_file import Unusable, decode
from onbrand.errors import DatasetRefused
from tests.studio import GROUND, draw, write_studio

LATIN_NAMES = sys.platform == "linux"  # macOS refuses a file's name that is not in Unicode


def png(index: int, side: int = 768) -> bytes:
    stored = BytesIO()
    draw(index, side)[0].save(stored, "PNG", compress_level=1)
    return stored.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of some bytes whose header promises a lot."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">2I5B", width, height, 8, 6, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def flipped(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stored = BytesIO()
    image.save(stored, kind, **options)
    return stored.getvalue()


def grown() -> Image.Image:
    """Wide, and drawn up to the border."""
    noise = np.random.default_rng(3).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    return Image.fromarray(noise).resize((1200, 900), Image.Resampling.BICUBIC)


def animation(kind: str) -> bytes:
    frames = [draw(index, 768)[0] for index in (40, 41)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


# A file's name and bytes, and the kind of finding that it must have. A caption lies beside each.
FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "cut.png": (lambda: png(20)[:3000], "damaged"),
    "no-end.png": (lambda: png(20)[:-12], "damaged"),
    "flipped.png": (lambda: flipped(png(20)), "damaged"),
    "cut.jpg": (lambda: saved(draw(20, 768)[0], "JPEG", quality=95)[:9000], "damaged"),
    "cut.webp": (lambda: saved(draw(20, 768)[0], "WEBP")[:3000], "damaged"),
    "cut.gif": (lambda: saved(draw(20, 768)[0], "GIF")[:3000], "damaged"),
    "nothing.png": (lambda: b"", "file_empty"),
    "small.png": (lambda: png(21, 300), "too_small"),
    "smallish.png": (lambda: png(21, 800), "enlarged"),
    "banner.png": (lambda: saved(draw(22, 1200)[0].crop((0, 400, 1200, 800))), "too_narrow"),
    "tower.png": (lambda: saved(draw(22, 1200)[0].crop((400, 0, 800, 1200))), "too_narrow"),
    "wide.png": (lambda: saved(draw(23, 1100)[0].crop((0, 100, 1100, 1000))), "padded"),
    "scene.png": (lambda: saved(grown()), "bars"),
    "moving.gif": (lambda: animation("GIF"), "animated"),
    "moving.webp": (lambda: animation("WEBP"), "animated"),
    "moving.png": (lambda: animation("PNG"), "animated"),
    "pages.tif": (lambda: animation("TIFF"), "several_pages"),
    "logo.svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "vector"),
    "logo.ai": (lambda: b"%PDF-1.6", "vector"),
    "hidden-vector.png": (lambda: b'<?xml version="1.0"?><svg/>', "vector"),
    "layers.psd": (lambda: b"8BPS\0\1", "format_unsupported"),
    "phone.heic": (lambda: b"\0\0\0\x18ftypheic", "format_unsupported"),
    "hidden-phone.jpg": (lambda: b"\0\0\0\x18ftypheic", "format_unsupported"),
    "misnamed.jpg": (lambda: png(24), "misnamed"),
    "no-ending": (lambda: png(25), "misnamed"),
    "page.png": (lambda: b"<!doctype html><title>Sign in</title>", "not_a_picture"),
    "pointer.png": (lambda: b"version https://git-lfs.github.com/spec/v1\n", "not_a_picture"),
    "bomb.png": (lambda: bomb(60_000, 60_000), "too_many_pixels"),
    "small-bomb.png": (lambda: bomb(9000, 9000), "too_many_pixels"),
    "one-colour.png": (lambda: saved(Image.new("RGB", (900, 900), GROUND)), "blank"),
    "invisible.png": (lambda: saved(Image.new("RGBA", (900, 900), (9, 9, 9, 0))), "blank"),
    "specks.jpg": (lambda: saved(draw(26, 1024)[0], "JPEG", quality=50), "jpeg_artefacts"),
    "mirrored.png": (lambda: saved(ImageOps.mirror(draw(1)[0])), "near_duplicate"),
    "same.png": (lambda: saved(draw(0)[0], compress_level=9), "duplicate"),
    "मग — чашка ☕.png": (lambda: png(27, 300), "too_small"),
}
CAPTIONS: dict[str, tuple[str | bytes, str]] = {
    "empty.png": ("  \n", "caption_empty"),
    "long.png": ("a mug " * 90, "caption_too_long"),
    "rather-long.png": ("extraordinary " * 30, ""),
    "too-many-tokens.png": ("a-b-c-d " * 40, "caption_cut"),
    "odd.png": ("a mug\x07", "caption_invalid"),
    "other-code.png": ("ein Gef\xe4ß".encode("latin-1", "replace"), "caption_unreadable"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every trap at once."""
    folder = write_studio(tmp_path_factory.mktemp("studio") / "studio", 3)
    for number, (name, (make, _)) in enumerate(FILES.items()):
        (folder / name).write_bytes(make())
        (folder / f"{os.path.splitext(name)[0]}.txt").write_text(f"thing number {number}", "utf-8")
    for number, (name, (caption, _)) in enumerate(CAPTIONS.items()):
        (folder / name).write_bytes(png(28 + number))
        path = folder / f"{os.path.splitext(name)[0]}.txt"
        path.write_bytes(caption.encode() if isinstance(caption, str) else caption)
    for one in ("twin-1", "twin-2"):
        (folder / f"{one}.png").write_bytes(png(34 + len(one) + int(one[-1])))
        (folder / f"{one}.txt").write_text("a twin", "utf-8")
    (folder / "alone.png").write_bytes(png(50))
    (folder / "nobody.txt").write_text("a caption for nobody", "utf-8")
    for system in (".DS_Store", "Thumbs.db", "._mug.png", "notes.docx", "LICENSE"):
        (folder / system).write_bytes(b"x")
    (folder / "older").mkdir()
    outside = folder.parent / "outside.png"
    outside.write_bytes(png(51))
    (folder / "elsewhere.png").symlink_to(outside)
    (folder / "gone.png").symlink_to(folder.parent / "none.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "01-mug.jpg").write_bytes(saved(draw(45, 900)[0], "JPEG", quality=95))
    if LATIN_NAMES:
        with open(os.fsencode(folder) + b"/m\xfcg.png", "wb") as file:
            file.write(png(52))
    (folder / "red\x1b[31m.png").write_bytes(png(53))
    return folder


def state(folder: Path) -> dict[str, tuple[bytes | str, int, int]]:
    found = {}
    for path in folder.iterdir():
        about = path.lstat()
        content = path.read_bytes() if path.is_file() else str(path.is_symlink())
        found[os.fsencode(path.name).hex()] = (content, about.st_mtime_ns, about.st_mode)
    return found


@pytest.fixture(scope="module")
def checked(folder: Path) -> Checked:
    before = state(folder)
    found = check(folder)
    assert state(folder) == before  # bytes, times and links
    return found


def about(checked: Checked, file: str | None) -> list[Finding]:
    return [finding for finding in checked.findings if finding.file == file]


@pytest.mark.parametrize("name", FILES)
def test_a_trap_in_a_file_is_named(name: str, checked: Checked) -> None:
    assert FILES[name][1] in {finding.kind for finding in about(checked, name)}


@pytest.mark.parametrize("name", CAPTIONS)
def test_a_trap_in_a_caption_is_named(name: str, checked: Checked) -> None:
    file = name.replace(".png", ".txt") if CAPTIONS[name][1] == "caption_unreadable" else name
    found = {finding.kind for finding in about(checked, file)} - {"enlarged", "outlier"}
    assert found == ({CAPTIONS[name][1]} if CAPTIONS[name][1] else set())


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("alone.png", "caption_missing"),
        ("nobody.txt", "caption_without_picture"),
        ("elsewhere.png", "link_leaves_folder"),
        ("gone.png", "link_broken"),
        ("pipe.png", "file_unreadable"),
        ("older", "ignored_folder"),
        ("01-mug.png", "name_taken"),
        pytest.param("m�g.png", "name_unreadable", marks=pytest.mark.skipif(not LATIN_NAMES, reason="macOS")),
        ("red�[31m.png", "name_unreadable"),
        ("twin-1.png", "caption_repeated"),
    ],
)
def test_a_trap_in_the_folder_is_named(file: str, kind: str, checked: Checked) -> None:
    assert kind in {finding.kind for finding in about(checked, file)}


def test_what_belongs_to_the_system_is_left_out_with_one_note(checked: Checked) -> None:
    (note,) = [finding for finding in checked.findings if finding.kind == "ignored_files"]
    assert note.others == (".DS_Store", "._mug.png", "LICENSE", "Thumbs.db", "notes.docx")
    assert note.severity is Severity.NOTE


def test_every_finding_has_a_cause_and_each_that_matters_a_remedy(checked: Checked) -> None:
    for finding in checked.findings:
        assert re.fullmatch(r"(“|[A-Z0-9]|captions\.csv|[^\s]+).*\.", finding.cause, re.DOTALL), finding
        assert finding.remedy.endswith(".") or finding.severity is Severity.NOTE, finding
    severities = [finding.severity for finding in checked.findings]
    assert severities == sorted(severities, key=list(Severity).index)


def test_a_sound_picture_among_traps_has_no_finding(checked: Checked) -> None:
    assert about(checked, "03-bag.png") == []
    assert checked.digest is None


def test_a_mirrored_copy_says_of_which_picture(checked: Checked) -> None:
    (finding,) = [one for one in about(checked, "mirrored.png") if one.kind == "near_duplicate"]
    assert finding.others == ("02-bottle.png",)
    assert "mirrored" in finding.cause


@pytest.mark.parametrize("side", [9000, 60_000])
def test_a_header_is_enough_to_refuse_a_bomb(side: int, tmp_path: Path) -> None:
    """A file of 100 bytes that would take 324 MB, or 14 GB; nothing of it is decoded."""
    (tmp_path / "bomb.png").write_bytes(bomb(side, side))
    (tmp_path / "bomb.txt").write_text("a bomb")
    assert [one.kind for one in check(tmp_path).findings if one.file == "bomb.png"] == ["too_many_pixels"]


def test_a_link_that_leaves_the_folder_is_not_read(tmp_path: Path) -> None:
    folder = write_studio(tmp_path / "studio", 1)
    (tmp_path / "outside.png").write_bytes(png(2, 768))
    (folder / "inside.png").symlink_to(tmp_path / "outside.png")
    (folder / "inside.txt").symlink_to(tmp_path / "studio" / "01-mug.txt")
    found = check(folder)
    assert [one.kind for one in found.findings if one.file == "inside.png"] == ["link_leaves_folder"]
    assert list(found.survey.seen) == ["01-mug.png"]


@pytest.mark.parametrize("where", ["middle", "checksum", "header", "cut", "end"])
def test_a_png_is_whole_to_its_last_byte(where: str, tmp_path: Path) -> None:
    whole = saved(draw(20, 768)[0])
    at = {"middle": len(whole) // 2, "checksum": whole.index(b"IEND") - 8, "header": whole.index(b"IHDR") + 17}
    damaged = {"cut": whole[: len(whole) // 2], "end": whole[:-12]}
    if where in at:
        damaged[where] = whole[: at[where]] + bytes([whole[at[where]] ^ 1]) + whole[at[where] + 1 :]
    (tmp_path / "mug.png").write_bytes(damaged[where])
    assert "damaged" in [one.kind for one in check(tmp_path).findings if one.file == "mug.png"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"])
def test_a_file_that_is_damaged_anywhere_is_a_finding_and_never_a_crash(kind: str, tmp_path: Path) -> None:
    whole, path = saved(draw(3, 768)[0], kind), tmp_path / "mug.png"
    rng = random.Random(kind)
    for _ in range(12):
        at = rng.randrange(rng.choice((64, 600, len(whole))) if len(whole) > 600 else len(whole))
        path.write_bytes(whole[:at] + rng.randbytes(rng.randrange(9)) + whole[at + rng.randrange(9) :])
        with warnings.catch_warnings(), suppress(Unusable):
            warnings.simplefilter("ignore")
            assert decode(Entry("mug.png", path)).rgb.mode == "RGB"


def test_a_link_within_the_folder_is_its_picture_a_second_time(tmp_path: Path) -> None:
    folder = write_studio(tmp_path / "studio", 1)
    (folder / "alias.png").symlink_to("01-mug.png")
    (folder / "alias.txt").write_text("the same mug")
    assert "duplicate" in {finding.kind for finding in check(folder).findings}
    linked = tmp_path / "linked"
    linked.symlink_to(folder)
    assert "link_leaves_folder" not in {finding.kind for finding in check(linked).findings}


def test_too_few_and_too_many_pictures_are_a_warning(tmp_path: Path) -> None:
    folder = write_studio(tmp_path / "few", 2)
    assert "few_pictures" in {finding.kind for finding in check(folder).findings}
    many = tmp_path / "many"
    many.mkdir()
    for index in range(51):
        (many / f"{index}.png").touch()  # what is in them doesn't matter here
    assert "many_pictures" in {finding.kind for finding in check(many).findings}


def test_a_wrong_folder_is_refused_before_it_is_read(tmp_path: Path) -> None:
    for index in range(MOST_FILES + 1):
        (tmp_path / f"{index}.png").touch()
    with pytest.raises(DatasetRefused, match="a folder of their own"):
        check(tmp_path)


def test_a_source_file_beside_its_picture_is_no_error(tmp_path: Path) -> None:
    folder = write_studio(tmp_path / "studio", 1)
    (folder / "01-mug.ai").write_bytes(b"%PDF")
    found = check(folder)
    assert found.is_usable
    assert any(finding.others == ("01-mug.ai",) for finding in found.findings)


def test_transparent_pictures_alone_are_placed_on_white_with_a_warning(tmp_path: Path) -> None:
    sticker = Image.new("RGBA", (1024, 1024), (0, 0, 0, 0))
    sticker.paste((200, 30, 40, 255), (300, 300, 700, 700))
    sticker.save(tmp_path / "card.png")
    (tmp_path / "card.txt").write_text("a red card")
    found = check(tmp_path)
    assert {"ground_unknown", "transparent"} <= {finding.kind for finding in found.findings}
    assert found.ground == "#ffffff"


def test_each_kind_of_finding_is_documented_with_its_severity() -> None:
    page = (REPOSITORY / "docs" / "dataset.md").read_text("utf-8")
    documented = dict(
        re.findall(r"^\| `([a-z_0-9]+)` \| (error|warning|note) \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)
    )
    assert documented == {name: str(kind.severity) for name, kind in KINDS.items()}


def test_every_kind_of_finding_is_one_that_the_code_can_make() -> None:
    code = "".join(path.read_text() for path in (REPOSITORY / "onbrand" / "dataset").glob("*.py"))
    code = code.replace((REPOSITORY / "onbrand" / "dataset" / "findings.py").read_text(), "")
    assert [kind for kind in KINDS if f'"{kind}"' not in code] == []
