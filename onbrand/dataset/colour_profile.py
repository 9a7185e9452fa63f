"""From the colours that a file means to sRGB: profiles, CMYK, palettes, grey, 16 bits, and transparency apart.

sRGB is what the model draws and what browsers show. A profile that is left out shifts a brand's coral by ΔE 3, so each
is applied; a file that says nothing of its colours is taken to be sRGB, as browsers do.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from onbrand.dataset.colours import distance, to_oklab

EXPORT = "Export it again as PNG in sRGB"
_SAME = 0.01  # in Oklab: half of what can be seen
_SRGB = ImageCms.createProfile("sRGB")
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_lattice = np.stack(np.meshgrid(*[np.linspace(0, 255, 9).astype(np.uint8)] * 3), axis=-1).reshape(27, 27, 3)

Told = tuple[str, str, str]  # kind, cause and remedy of a finding


class Unconvertible(Exception):
    """A picture's colours are not known well enough to be used."""

    def __init__(self, kind: str, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.kind, self.cause, self.remedy = kind, cause, remedy


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, Image.Image | None, list[Told]]:
    """The picture in RGB, its alpha (L; None if all is opaque), and what is to be told.

    Raises:
        Unconvertible: no honest conversion exists.
    """
    image = _to_8_bits(image)
    colour, alpha = _apart(image)
    told: list[Told] = []
    if profile:
        colour = _apply(colour, profile, told)
    elif colour.mode == "CMYK":
        cause = "It is in CMYK, the colours of print, and does not say of which press. Its colours can't be known."
        raise Unconvertible("cmyk_unknown", cause, f"{EXPORT} from the drawing itself, and compare the colours.")
    return colour.convert("RGB"), alpha, told


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits in 8, rounded; Pillow's own conversion cuts everything above 255 off."""
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint32)
        grey = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
        hidden = image.info.get("transparency")
        if isinstance(hidden, int):
            grey.putalpha(Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8)))
        return grey
    if image.mode in ("I", "F", "LAB", "HSV"):
        cause = f"Its colours are stored in a form that screens don't use ({image.mode})."
        raise Unconvertible("colour_model", cause, f"{EXPORT}, with 8 bits for each colour.")
    return image


def _apart(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colour (RGB, L or CMYK) and alpha."""
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        straight = {"RGBa": "RGBA", "La": "LA"}.get(image.mode, image.mode)
        image = image.convert(straight) if straight != image.mode else image
        alpha: Image.Image | None = image.convert("RGBA").getchannel("A")
        if alpha is not None and alpha.getextrema() == (255, 255):
            alpha = None
        is_grey = image.mode in ("L", "LA", "1")
        colour = image.convert("RGBA").convert("RGB")
        return colour.convert("L") if is_grey else colour, alpha
    if image.mode == "1":
        return image.convert("L"), None
    return image if image.mode in ("RGB", "L", "CMYK") else image.convert("RGB"), None


def _apply(colour: Image.Image, data: bytes, told: list[Told]) -> Image.Image:
    damaged = "Its colour profile can't be used, so its colours can't be known."
    remedy = f"{EXPORT}, with the colour profile embedded or converted."
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(data))
        mode = _SPACES.get(profile.profile.xcolor_space.strip())
        name = " ".join(ImageCms.getProfileDescription(profile).split())[:60] or "without a name"
        if mode is None or (colour.mode == "CMYK") != (mode == "CMYK"):
            raise Unconvertible("profile_damaged", damaged, remedy)
        colour = colour if colour.mode == mode else colour.convert(mode)
        transform = ImageCms.buildTransform(profile, _SRGB, mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC, _FLAGS)
        shift = _shift(transform, mode)
        if shift < _SAME:
            return colour  # sRGB by another name
        converted = ImageCms.applyTransform(colour, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        raise Unconvertible("profile_damaged", damaged, remedy) from None
    if converted is None:
        raise Unconvertible("profile_damaged", damaged, remedy)
    if mode == "CMYK":
        cause = (
            f"It is in CMYK, the colours of print ({name}), and was converted to sRGB. Bright colours are duller there."
        )
        told.append(("cmyk", cause, f"Compare its colours with the others', or: {EXPORT.lower()} from the drawing."))
    else:
        cause = (
            f"Its colours are in the profile “{name}” and were converted to sRGB, so that they look as you see them."
        )
        told.append(("colour_profile", cause, ""))
    return converted


def _shift(transform: ImageCms.ImageCmsTransform, mode: str) -> float:
    """The largest difference that the conversion makes to any colour, in Oklab; without end for CMYK."""
    if mode == "CMYK":
        return float("inf")
    lattice = Image.fromarray(_lattice)
    probe = lattice if mode == "RGB" else lattice.convert("L")
    after = ImageCms.applyTransform(probe, transform)
    if after is None:
        return float("inf")
    return float(distance(to_oklab(np.asarray(probe.convert("RGB"))), to_oklab(np.asarray(after))).max())
