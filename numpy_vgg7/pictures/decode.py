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
from numpy_vgg7.pictures import FORMATS
from numpy_vgg7.reading import FileKind, without_warnings

MAX_PIXELS = 50_000_000  # as many as phones take; a WebP image of this size needs 800 MB
MAX_EXACT = 2**24  # that are not reduced while they are read
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
    with kind.parsing(path), without_warnings(), _opened(content, formats) as image:
        _check_size(path, image, MAX_PIXELS if longest else MAX_EXACT)
        if image.format == "PNG":
            _check_png(content)
        if longest:
            image.draft(image.mode, (longest, longest))  # a JPEG is reduced by its decoder
        ImageOps.exif_transpose(image, in_place=True)
        small = _reduced(image, longest)
        if small.mode == "RGB" and longest:
            return contrasting_grey(np.asarray(small, dtype=np.float32) / 255)
        return _grey(small)


def _opened(content: bytes, formats: tuple[str, ...]) -> Image.Image:
    """Raises ValueError if it is an image of another format, or none."""
    try:
        return Image.open(BytesIO(content), formats=formats)
    except UnidentifiedImageError as error:  # names the object in memory
        raise ValueError("another format") from error


def _check_size(path: Path, image: Image.Image, most: int) -> None:
    """Raise DataError if an image, of which only the header was read, is too large."""
    width, height = image.size
    if width * height > most:
        fix = "crop or reduce the image"
        raise DataError(str(path), f"at most {most:,} pixels", f"{width}x{height}", fix)


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
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255
        image = Image.fromarray(np.asarray(image, dtype=np.float32) / MAX_16_BIT)
    elif image.mode not in ("L", "RGB", "RGBA", "F"):
        transparent = image.mode in ("LA", "La", "PA", "RGBa") or "transparency" in image.info
        image = image.convert("RGBA" if transparent else "L" if image.mode == "1" else "RGB")
    factor = -(-max(image.size) // longest) if longest else 1
    return image.reduce((min(factor, image.width), min(factor, image.height))) if factor > 1 else image


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
