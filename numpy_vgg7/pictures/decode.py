"""Grey values of image files. Large images are reduced while they are read."""

import logging
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from numpy_vgg7.errors import DataError
from numpy_vgg7.functional import Array
from numpy_vgg7.limits import require_memory, size
from numpy_vgg7.pictures import FORMATS
from numpy_vgg7.reading import PIXELS, FileKind, most_bytes, without_warnings

MAX_PIXELS = 50_000_000  # as many as phones take
MAX_EXACT = 2**24  # that are not reduced while they are read
# Bytes of a pixel in memory: of what is decoded, and of what that is converted to. Others have OTHER. Pillow
# multiplies colours by their opacity before it reduces them.
MODES = {"1": 2, "L": 1, "P": 9, "RGB": 4, "RGBA": 8, "F": 4, "I;16": 6, "I;16B": 6, "I;16L": 6}
OTHER = 12
EXACT = 12  # more, where images are not reduced before they are converted to numbers
DECODERS = {"WEBP": 12, "TIFF": 4}  # more, of the decoder: canvases; a copy that is turned
COEFFICIENTS = 6  # of a progressive JPEG, which is not reduced until all of it is read
MAX_16_BIT = 65535

# Pillow also logs what it raises, and without a handler, Python prints that.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def read_grey(path: Path, formats: tuple[str, ...] = tuple(FORMATS), longest: int | None = None) -> Array:
    """Grey values in 0..1 of an image file, (H, W), upright by its EXIF orientation.

    `formats` are names in FORMATS; the content decides, not the suffix. Transparent pixels become black if
    the opaque ones are bright, else white. With `longest`, for finding ink, an image with more pixels per
    side is reduced by a whole factor, and the grey of colours is the one with the most contrast in detail;
    else it is the luminance.

    Raises DataError. The number of pixels is checked before memory is allocated for them.
    """
    *most, last = ("WebP" if name == "WEBP" else name for name in formats)
    kind = FileKind(
        f"{', '.join(most)} or {last} image" if most else f"{last} image",
        fix=f"convert the image to {formats[0]}",
    )
    content = kind.read(path)
    # Pillow warns of damaged EXIF blocks and of half as many pixels as it refuses.
    with kind.parsing(path), without_warnings():
        small = _decoded(path, content, formats, longest)
        if small.mode == "RGB" and longest:
            return contrasting_grey(np.asarray(small, dtype=np.float32) / 255)
        return _grey(small)


def _decoded(path: Path, content: bytes, formats: tuple[str, ...], longest: int | None) -> Image.Image:
    """An upright image of mode L, RGB, RGBA or F, reduced by a whole factor to `longest` pixels per side."""
    with _opened(content, formats) as image:
        _check_size(path, image, len(content), longest)
        if image.format == "PNG":
            _check_png(content)
        small = _reduced(image, longest)
        ImageOps.exif_transpose(small, in_place=True)
        return small


def _opened(content: bytes, formats: tuple[str, ...]) -> Image.Image:
    """Raises ValueError if it is an image of another format, or none."""
    try:
        return Image.open(BytesIO(content), formats=formats)
    except UnidentifiedImageError as error:  # names the object in memory
        raise ValueError("another format") from error


def _check_size(path: Path, image: Image.Image, file_size: int, longest: int | None) -> None:
    """Raise DataError if an image, of which only the header was read, is too large.

    Few bytes may contain many pixels of one colour; but not so many that they fill the memory. A JPEG is
    reduced by its decoder, so that few of its pixels are in memory.
    """
    fix = "crop or reduce the image"
    width, height = image.size
    most = MAX_PIXELS if longest else MAX_EXACT
    if width * height > most:
        raise DataError(str(path), f"at most {most:,} pixels", f"{width}x{height}", fix)
    taken = width * height * COEFFICIENTS if "progressive" in image.info else 0
    if longest:
        image.draft(image.mode, (longest, longest))
    each = MODES.get(image.mode, OTHER) + DECODERS.get(image.format or "", 0) + (0 if longest else EXACT)
    taken += image.width * image.height * each
    most = most_bytes(file_size, PIXELS)
    if taken > most:
        expected = f"an image that takes at most {size(most)}, for a file of {size(file_size)}"
        raise DataError(str(path), expected, f"{width}x{height} pixels: {size(taken)}", fix)
    require_memory(str(path), taken, fix, DataError)


def _check_png(content: bytes) -> None:
    """Raise ValueError where a checksum of a PNG file is wrong: Pillow does not verify those of pixels."""
    place, name = 8, b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", content, place)
        end = place + 8 + length
        if zlib.crc32(memoryview(content)[place + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            raise ValueError(f"a wrong checksum of {name!r} at byte {place}")
        place = end + 4


def _reduced(image: Image.Image, longest: int | None) -> Image.Image:
    """An image of mode L, RGB, RGBA or F, reduced by a whole factor to `longest` pixels per side."""
    sixteen = image.mode.startswith("I")  # bits of grey, which Pillow would clip at 255
    if sixteen:
        image = image.convert("F")
    elif image.mode not in ("L", "RGB", "RGBA", "F"):
        transparent = image.mode in ("LA", "La", "PA", "RGBa") or "transparency" in image.info
        image = image.convert("RGBA" if transparent else "L" if image.mode == "1" else "RGB")
    factor = -(-max(image.size) // longest) if longest else 1
    if factor > 1:
        image = image.reduce((min(factor, image.width), min(factor, image.height)))
    return image.point(lambda value: value / MAX_16_BIT) if sixteen else image


def reduced_colours(colours: Array, longest: int) -> Array:
    """Colours (H, W, 3), reduced by a whole factor to `longest` pixels per side."""
    channels = (Image.fromarray(np.ascontiguousarray(colours[..., k])) for k in range(3))
    return np.stack([np.asarray(_reduced(channel, longest)) for channel in channels], axis=-1)


def _grey(image: Image.Image) -> Array:
    """Grey values in 0..1 of an image of mode L, RGB, RGBA or F. Raises ValueError on NaN."""
    if image.mode == "F":
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise ValueError("NaN or infinity")
        return values
    if image.mode == "RGBA":
        pixels = np.asarray(image, dtype=np.float32)
        ink = pixels[..., :3][pixels[..., 3] > 127]
        bright = (pixels[..., 3] < 128).any() and ink.size and ink.mean() > 127
        background = Image.new("RGBA", image.size, "black" if bright else "white")
        image = Image.alpha_composite(background, image)
    return np.asarray(image.convert("L"), dtype=np.float32) / 255


def contrasting_grey(pixels: Array) -> Array:
    """The grey in 0..1 of colours in 0..1, (H, W, 3) -> (H, W), in which details have the most contrast.

    The weights are the first principal component of the differences to the neighbourhood. Large differences
    count more, so that noise does not decide. Red ink on green of the same luminance would be lost otherwise.
    """
    from scipy import ndimage

    side = max(3, max(pixels.shape) // 10)
    detail = (pixels - ndimage.uniform_filter(pixels, (side, side, 0))).reshape(-1, 3)
    weighted = detail * np.square(detail).sum(axis=1, keepdims=True)
    weights = np.linalg.eigh(weighted.T @ detail)[1][:, -1]
    weights = weights / np.abs(weights).sum() * (1 if weights.sum() >= 0 else -1)
    grey: Array = np.clip(pixels @ weights.astype(pixels.dtype) - weights[weights < 0].sum(), 0, 1)
    return grey
