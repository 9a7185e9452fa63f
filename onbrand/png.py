"""PNG files: how a drawing becomes one, and whether bytes are one we may publish.

The text chunks say where a picture comes from: software, pack, model, seed, job, and that it is AI-generated. Never the
prompt, never the user: pictures are passed on.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from onbrand import __version__
from onbrand.errors import BadImage

SIZE = 1024  # pixels; a test compares it with `job.IMAGE_SIZE`
_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
# The IPTC's word for "made by a trained model", in the XMP property that photo tools read.
# https://cv.iptc.org/newscodes/digitalsourcetype/
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    ' Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    "</rdf:RDF></x:xmpmeta>"
)


@dataclass(frozen=True)
class Provenance:
    """Where a picture comes from. `job_id` is None for a picture drawn without a job (`onbrand generate`)."""

    pack_id: str
    pack_name: str
    pack_version: str
    model: str
    seed: int
    job_id: str | None


def encode(pixels: np.ndarray, provenance: Provenance) -> bytes:
    """A PNG of (1024, 1024, 3) uint8 RGB pixels with its provenance in text chunks.

    Run-length matching suits flat illustrations: on the mini model's pictures it takes 40 ms and 0.52 MB an image,
    zlib's default 160 ms and 0.54 MB (measured, Pillow 13).
    """
    if pixels.shape != (SIZE, SIZE, 3) or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be ({SIZE}, {SIZE}, 3) uint8")
    text = PngInfo()
    text.add_text("Software", f"Onbrand {__version__}")
    text.add_text("Source", "AI-generated (trainedAlgorithmicMedia)")
    text.add_text("Onbrand-Pack", provenance.pack_id)
    text.add_text("Onbrand-Pack-Name", provenance.pack_name)
    text.add_text("Onbrand-Pack-Version", provenance.pack_version)
    text.add_text("Onbrand-Model", provenance.model)
    text.add_text("Onbrand-Seed", str(provenance.seed))
    if provenance.job_id is not None:
        text.add_text("Onbrand-Job", provenance.job_id)
    text.add_itxt("XML:com.adobe.xmp", _XMP)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=text, compress_type=zlib.Z_RLE)
    return buffer.getvalue()


def check(data: bytes) -> None:
    """Refuse anything that isn't one whole PNG of 1024×1024 RGB pixels which are not all the same.

    Pillow compares every chunk's checksum except the last one's, and stops there; so the end is compared here.

    Raises:
        BadImage: the bytes must not be published.
    """
    if not data.endswith(_END):
        raise BadImage("The picture's file is cut off.")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size != (SIZE, SIZE) or image.mode != "RGB":
                raise BadImage(f"The picture isn't {SIZE}×{SIZE} RGB.")
            image.verify()
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:  # verify() leaves an image unusable
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError) as error:
        raise BadImage("The picture's file is damaged.") from error
    if (pixels == pixels[0, 0]).all():
        raise BadImage("The picture is a single colour.")
