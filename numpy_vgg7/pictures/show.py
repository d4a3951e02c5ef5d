"""What the network saw, for `predict --show`: a sheet of the prepared images with their predictions."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from numpy_vgg7.files import require_suffix, write_bytes
from numpy_vgg7.functional import Array

TILE = 168  # pixels per side of an image, about
GAP, LINE = 8, 14  # pixels between images, and of a line of text
MOST = 200  # images on a sheet
PAPER, TEXT = 245, 0


def write_sheet(path: Path, images: list[Array], captions: list[str]) -> None:
    """Write images (S, S) in 0..1, enlarged, with captions below, as one PNG. At most MOST are drawn.

    Raises OutputError.
    """
    require_suffix(path, ".png")
    images = images[:MOST]
    factor = max(1, TILE // len(images[0]))
    side = factor * len(images[0])
    columns = min(len(images), round(len(images) ** 0.5 + 0.5))
    rows = -(-len(images) // columns)
    sheet = Image.new("L", (GAP + columns * (side + GAP), GAP + rows * (side + LINE + GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, (image, caption) in enumerate(zip(images, captions, strict=False)):
        row, column = divmod(index, columns)
        left, top = GAP + column * (side + GAP), GAP + row * (side + LINE + GAP)
        pixels = np.rint(image * 255).astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)
        sheet.paste(Image.fromarray(pixels), (left, top))
        draw.text((left, top + side + 1), _fitting(draw, caption, side), fill=TEXT)
    content = io.BytesIO()
    sheet.save(content, "PNG")
    write_bytes(path, content.getvalue())


def _fitting(draw: ImageDraw.ImageDraw, caption: str, width: int) -> str:
    """The end of a caption that fits a width in pixels. The font has no letters beyond ASCII."""
    caption = caption.encode("ascii", "replace").decode()
    while draw.textlength(caption) > width:
        caption = caption[1:]
    return caption
