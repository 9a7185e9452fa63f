"""One picture file, read with suspicion: what its header says first, then its pixels, upright and in sRGB.

Pillow decides the format by the content, never by the name, and only formats without code or commands are tried.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image, ImageOps

from onbrand.dataset.colour_profile import EXPORT, Unconvertible, to_srgb
from onbrand.dataset.findings import Finding
from onbrand.dataset.folder import MOST_BYTES, Entry, begins_as_picture
from onbrand.dataset.png_colours import profile_of

SIDE = 1024  # pixels of what the model draws and learns from
MOST_PIXELS = 40_000_000  # 6,300 by 6,300: decoded it takes 160 MB
_LARGE = 9_000_000  # 3,000 by 3,000
LEAST_SIDE = 768  # pixels of the longer side; what is enlarged by more than a third is soft
MOST_RATIO = 2.5  # of the longer side to the shorter: beyond it, most of a square would be empty
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF")
_ENDINGS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "AVIF": (".avif",),
}
_LEAST_JPEG_QUALITY = 80  # as most programs count it
# What Pillow raises for files that are damaged on purpose or by accident.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    MemoryError,
    ZeroDivisionError,
    EOFError,
    struct.error,
    zlib.error,
)


class Unusable(Exception):
    """A file has an error-level finding, so it has no pixels for us."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.cause)
        self.finding = finding


@dataclass(frozen=True)
class Decoded:
    """A picture's pixels, upright and in sRGB, in its own size; `findings` are of the levels warning and note."""

    rgb: Image.Image  # mode RGB
    alpha: Image.Image | None  # mode L; None if nothing is transparent
    findings: tuple[Finding, ...]
    size: tuple[int, int]  # upright, as the file has it; a large picture's pixels are fewer


def decode(entry: Entry, large: AbstractContextManager[object] | None = None) -> Decoded:
    """The pixels of a file. A large picture is decoded while `large` is held: there is memory for one at a time.

    Raises:
        Unusable: the file cannot be used as it is.
    """
    findings: list[Finding] = []
    with _opened(entry) as (file, image):
        _check_header(entry, image, findings)
        _check_whole(entry, file, image)
        is_large = image.width * image.height > _LARGE
        try:
            with large if large is not None and is_large else nullcontext():
                image.load()
                has_16_bits = _has_16_bits(file, image)
                profile = image.info.get("icc_profile")
                profile = profile_of(file, profile) if image.format == "PNG" else profile
                image, turned = _upright(image)
                size = image.size
                rgb, alpha, told = to_srgb(image, profile)
                if is_large:
                    rgb, alpha = _smaller(rgb, alpha)
        except Unconvertible as error:
            raise Unusable(Finding(error.kind, entry.name, error.cause, error.remedy)) from None
        except _DAMAGED:
            raise _damaged(entry) from None
    findings.extend(Finding(kind, entry.name, cause, remedy) for kind, cause, remedy in told)
    if has_16_bits:
        cause = "It has 16 bits for each colour. The model learns from 8 bits, so it was rounded."
        findings.append(Finding("sixteen_bit", entry.name, cause, ""))
    if turned:
        cause = "Its file says that it is to be shown turned or mirrored, so it was turned."
        findings.append(Finding("turned", entry.name, cause, ""))
    return Decoded(rgb, alpha, tuple(findings), size)


@contextmanager
def _opened(entry: Entry) -> Iterator[tuple[BinaryIO, Image.Image]]:
    try:
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        cause = f"The file can't be read ({error.strerror})."
        raise Unusable(Finding("file_unreadable", entry.name, cause, "Make it readable, or copy it again.")) from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unusable(Finding("file_unreadable", entry.name, "It is no file.", "Remove it from the folder."))
        if status.st_size == 0:
            cause = "The file is empty: it has 0 bytes."
            raise Unusable(Finding("file_empty", entry.name, cause, "Export or copy it again."))
        if status.st_size > MOST_BYTES:
            cause = f"The file has {status.st_size / 1e6:,.0f} MB, and at most {MOST_BYTES / 1e6:,.0f} MB are read."
            raise Unusable(Finding("file_too_large", entry.name, cause, f"{EXPORT}, with {SIDE} to 4096 pixels."))
        head = file.read(4096)
        file.seek(0)
        try:
            image = Image.open(file, formats=_FORMATS)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise _too_many_pixels(entry, None) from None
        except _DAMAGED:
            raise Unusable(_what_it_is(entry, head)) from None
        with image:
            yield file, image


def preview(entry: Entry, side: int) -> Image.Image | None:
    """What can be shown of a file that can't be used, at most `side` pixels: too small, animated, in print colours."""
    try:
        with _opened(entry) as (_, image):
            if image.width * image.height > MOST_PIXELS:
                return None
            image.draft("RGB", (side, side))
            image.thumbnail((side, side))
            return image.convert("RGB")
    except (Unusable, *_DAMAGED):
        return None


def _what_it_is(entry: Entry, head: bytes) -> Finding:
    """Why Pillow can't open a file, by its first bytes."""
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if b"<svg" in start[:2048] or start.startswith((b"%pdf", b"%!ps", b"\xc5\xd0\xd3\xc6")):
        cause = f"It is named {entry.ending or 'without an ending'}, but it is a vector file, which has no pixels yet."
        return Finding("vector", entry.name, cause, f"Export it as PNG in sRGB, with {SIDE} pixels or more.")
    if begins_as_picture(head):
        return _damaged(entry).finding
    if head[4:8] == b"ftyp" or head.startswith(b"8BPS") or head[:12].endswith(b"JXL \r\n\x87\n"):
        cause = "Its content is of a kind that can't be read here, such as HEIC or a Photoshop file."
        return Finding("format_unsupported", entry.name, cause, f"{EXPORT}.")
    if start.startswith(b"version https://git-lfs"):
        cause = "It is a pointer of Git LFS: the picture itself was not fetched."
        return Finding("not_a_picture", entry.name, cause, "Run `git lfs pull`, then copy the picture.")
    cause = "Its content is no picture, whatever its name says."
    return Finding("not_a_picture", entry.name, cause, "Export the picture again, or remove the file.")


def _damaged(entry: Entry) -> Unusable:
    cause = "The file is cut off or damaged, so a part of the picture is missing."
    return Unusable(Finding("damaged", entry.name, cause, "Export it again, or copy it again from where it is whole."))


def _too_many_pixels(entry: Entry, size: tuple[int, int] | None) -> Unusable:
    says = "more than 170 million" if size is None else f"{size[0]:,} × {size[1]:,}"
    cause = f"Its header says {says} pixels, and at most {MOST_PIXELS / 1e6:,.0f} million are read."
    return Unusable(Finding("too_many_pixels", entry.name, cause, f"{EXPORT}, with {SIDE} to 4096 pixels a side."))


def _check_header(entry: Entry, image: Image.Image, findings: list[Finding]) -> None:
    """What can be said before any pixel is decoded."""
    width, height = image.size
    longer, shorter = max(image.size), max(1, min(image.size))
    if width * height > MOST_PIXELS:
        raise _too_many_pixels(entry, image.size)
    kind = image.format or ""
    has_frames = kind != "MPO" and _has_frames(entry, image)
    if has_frames and kind == "TIFF":
        cause = "It has several pages, and one picture is meant to be one file."
        raise Unusable(Finding("several_pages", entry.name, cause, f"{EXPORT}, one file for each page."))
    if has_frames:
        cause = "It is animated, and the model learns from pictures that stand still."
        raise Unusable(Finding("animated", entry.name, cause, "Export the one frame that shows it best as PNG."))
    if longer < LEAST_SIDE:
        cause = f"It has {width} × {height} pixels. Enlarged to {SIDE}, its edges would be soft, and the model would"
        remedy = f"Export it again with {SIDE} pixels or more on its longer side; don't enlarge it."
        raise Unusable(Finding("too_small", entry.name, f"{cause} learn soft edges.", remedy))
    if longer > MOST_RATIO * shorter:
        cause = f"It has {width} × {height} pixels. In a square, most would be empty."
        raise Unusable(Finding("too_narrow", entry.name, cause, "Arrange it anew in a square, or leave it out."))
    if longer < SIDE:
        cause = f"It has {width} × {height} pixels and was enlarged to {SIDE}, so its edges are a little soft."
        remedy = f"Export it again with {SIDE} pixels or more on its longer side."
        findings.append(Finding("enlarged", entry.name, cause, remedy))
    if entry.ending not in _ENDINGS.get(kind, ()):
        named = f"is named {entry.ending}" if entry.ending else "has no ending"
        cause = f"It {named}, but its content is {'JPEG' if kind == 'MPO' else kind}. It was read as what it is."
        findings.append(Finding("misnamed", entry.name, cause, "Give it the right ending, or export it as PNG."))
    quality = _jpeg_quality(image)
    if quality is not None and quality < _LEAST_JPEG_QUALITY:
        cause = f"It is a JPEG of about quality {quality}. It has specks around its edges, which the model would learn."
        findings.append(Finding("jpeg_artefacts", entry.name, cause, f"{EXPORT} from the drawing itself."))


def _has_frames(entry: Entry, image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except _DAMAGED:  # of a TIFF, the second page's header is read for this
        raise _damaged(entry) from None


def _jpeg_quality(image: Image.Image) -> int | None:
    """The quality that most programs would name, from the table of luminance (ITU-T T.81, K.1); None if no JPEG."""
    tables: dict[int, list[int]] | None = getattr(image, "quantization", None)
    if not tables or 0 not in tables:
        return None
    scale = 100 * sum(tables[0]) / 3688  # the sum of the standard's own table, which is quality 50
    return max(1, round(5000 / scale if scale > 100 else (200 - scale) / 2))


def _check_whole(entry: Entry, file: BinaryIO, image: Image.Image) -> None:
    """Compare a PNG's checksums, which decoding alone does not do for pixels. Other formats have none."""
    if image.format != "PNG":
        return
    at = file.tell()
    file.seek(0)
    try:
        with Image.open(file, formats=["PNG"]) as again:
            again.verify()
    except _DAMAGED:
        raise _damaged(entry) from None
    file.seek(at)


def _has_16_bits(file: BinaryIO, image: Image.Image) -> bool:
    """Whether the file has more than 8 bits for a colour; Pillow's own mode often says nothing of it."""
    if image.mode.startswith("I;16"):
        return True
    if image.format == "PNG":
        at = file.tell()
        file.seek(24)
        depth = file.read(1)
        file.seek(at)
        return depth == b"\x10"
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(258, (8,))
        return bool(max(bits) == 16)
    return False


def _smaller(rgb: Image.Image, alpha: Image.Image | None) -> tuple[Image.Image, Image.Image | None]:
    """A large picture at a whole fraction of its size, still more than twice what is needed."""
    factor = max(1, max(rgb.size) // (2 * SIDE))
    if alpha is None:
        return rgb.reduce(factor), None
    # Colour counts as much as it can be seen, or what hides below transparent pixels would bleed into the rim.
    whole = rgb.copy()
    whole.putalpha(alpha)
    seen = whole.convert("RGBa").reduce(factor).convert("RGBA")
    return seen.convert("RGB"), seen.getchannel("A")


def _upright(image: Image.Image) -> tuple[Image.Image, bool]:
    orientation = image.getexif().get(0x0112, 1)
    if orientation in range(2, 9):
        return ImageOps.exif_transpose(image), True
    return image, False
