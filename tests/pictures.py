"""Pictures of single digits as people make them, drawn from 28x28 digits with a seed, and a measurement.

    python -m tests.pictures --data-dir mnist --count 200 --out pictures

writes COUNT pictures, reads them with `numpy-vgg7 predict` and its own weights, and prints for each kind how
many are right, and how many are neither right nor warned of. The digits are test images of MNIST.
"""

import argparse
import collections
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

EXIF_ORIENTATION = 0x0112
# What undoes an orientation is what a viewer does; a picture is stored as the reverse of it.
STORED = {
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


@dataclass
class Picture:
    """A page with a digit: `coverage` by ink and `light` on it, (H, W) in 0..1, and colours in 0..1."""

    coverage: np.ndarray
    paper: np.ndarray
    ink: np.ndarray
    light: np.ndarray | float = 1.0
    noise: float = 0.0

    def pixels(self, rng):
        """(H, W, 3) in 0..1."""
        ink = self.coverage[..., None]
        colours = self.paper * (1 - ink) + self.ink * ink
        light = np.broadcast_to(self.light, self.coverage.shape)[..., None]
        noise = rng.normal(0, 1, (*self.coverage.shape, 3)) * self.noise if self.noise else 0
        return np.clip(colours * light + noise, 0, 1)


def drawn(digit, height, rng, threshold=None):
    """Ink coverage of a 28x28 digit enlarged to `height` pixels, with thicker or thinner strokes."""
    rows, columns = (np.flatnonzero(digit.any(axis=axis)) for axis in (1, 0))
    box = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    box = np.pad(box, 2).astype(np.float32) / digit.max()
    scale = height / box.shape[0]
    size = (max(1, round(box.shape[1] * scale)), height)
    smooth = np.asarray(Image.fromarray(box).resize(size, Image.Resampling.BICUBIC))
    if threshold is None:
        threshold = rng.uniform(0.3, 0.6)
    soft = 0.15
    return np.clip((smooth - threshold) / soft * 0.5 + 0.5, 0, 1)


def placed(ink, height, width, rng, top=None, left=None):
    """A page (height, width) with the ink inside, at a random place."""
    page = np.zeros((height, width), np.float32)
    top = int(rng.integers(0, height - ink.shape[0] + 1)) if top is None else top
    left = int(rng.integers(0, width - ink.shape[1] + 1)) if left is None else left
    page[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return page


def page(digit, rng, side=(150, 900), share=(0.3, 0.75), threshold=None):
    """A digit somewhere on a page of random size, as ink coverage."""
    height, width = (int(n) for n in rng.integers(*side, size=2))
    ink = drawn(digit, max(12, int(rng.uniform(*share) * min(height, width))), rng, threshold)
    if ink.shape[1] > width:
        width = ink.shape[1] + 20
    return placed(ink, height, width, rng)


def grey(value):
    return np.full(3, value)


def on_paper(digit, rng, **options):
    """Dark ink on light paper."""
    return Picture(page(digit, rng, **options), grey(rng.uniform(0.85, 1)), grey(rng.uniform(0, 0.25)))


def places(shape):
    """Coordinates in 0..1 of the pixels."""
    return np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")


def falling_light(shape, rng, loss):
    """Light that falls off in a random direction, linearly, to 1 - loss."""
    i, j = places(shape)
    angle = rng.uniform(0, 2 * np.pi)
    along = i * np.sin(angle) + j * np.cos(angle)
    along = (along - along.min()) / np.ptp(along)
    return 1 - loss * along


def spot(shape, rng, loss):
    """A lamp over a random place."""
    i, j = places(shape)
    centre = rng.uniform(0.2, 0.8, 2)
    return 1 - loss * np.clip((i - centre[0]) ** 2 + (j - centre[1]) ** 2, 0, 1)


def shadow(shape, rng, loss):
    """The shadow of a hand: a half of the page behind a soft edge."""
    along = falling_light(shape, rng, 1)
    edge = rng.uniform(0.3, 0.7)
    return 1 - loss / (1 + np.exp((along - edge) * 40))


def save_png(picture, path, rng, mode="RGB"):
    image = Image.fromarray(np.rint(picture.pixels(rng) * 255).astype(np.uint8))
    image.convert(mode).save(path)


def original(digit, path, rng):
    Image.fromarray(digit).save(path)


def original_inverted(digit, path, rng):
    Image.fromarray(255 - digit).save(path)


def big(digit, path, rng):
    picture = on_paper(digit, rng)
    if rng.random() < 0.5:
        picture.paper, picture.ink = picture.ink, picture.paper
    save_png(picture, path, rng, "L")


def off_centre(digit, path, rng):
    save_png(on_paper(digit, rng, side=(600, 1000), share=(0.1, 0.2)), path, rng, "L")


def small_in_28(digit, path, rng):
    small = Image.fromarray(digit).resize((14, 14), Image.Resampling.BOX)
    pixels = placed(np.asarray(small), 28, 28, rng)
    Image.fromarray(255 - pixels.astype(np.uint8)).save(path)


def pencil(digit, path, rng):
    paper = rng.uniform(0.7, 0.9)
    picture = Picture(page(digit, rng), grey(paper), grey(paper - rng.uniform(0.12, 0.3)))
    save_png(picture, path, rng, "L")


def _lit(light, low, high):
    def write(digit, path, rng):
        picture = on_paper(digit, rng)
        picture.light = light(picture.coverage.shape, rng, rng.uniform(low, high))
        save_png(picture, path, rng, "L")

    return write


def noisy(digit, path, rng):
    picture = on_paper(digit, rng, side=(200, 600))
    picture.paper, picture.noise = grey(0.85), rng.uniform(0.05, 0.15)
    save_png(picture, path, rng, "L")


def specks(digit, path, rng):
    picture = on_paper(digit, rng, side=(300, 800))
    height, width = picture.coverage.shape
    for _ in range(rng.integers(1, 8)):
        i, j = rng.integers(0, height - 4), rng.integers(0, width - 4)
        size = rng.integers(1, 5, 2)
        picture.coverage[i : i + size[0], j : j + size[1]] = 1
    save_png(picture, path, rng, "L")


def frame(digit, path, rng):
    picture = on_paper(digit, rng, share=(0.4, 0.6))
    width = int(rng.integers(2, 8))
    inside = np.zeros(picture.coverage.shape, bool)
    inside[width:-width, width:-width] = True
    picture.coverage[~inside] = 1
    save_png(picture, path, rng, "L")


def turned(digit, path, rng):
    """Stored rotated, with the orientation in the EXIF block, as JPEG."""
    image = Image.fromarray(np.rint(on_paper(digit, rng).pixels(rng) * 255).astype(np.uint8))
    orientation = int(rng.choice(list(STORED)))
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    image.transpose(STORED[orientation]).save(path.with_suffix(".jpg"), exif=exif, quality=85)


def deep(digit, path, rng):
    """16 bits, of which 16 or 12 are used."""
    grey = on_paper(digit, rng).pixels(rng)[..., 0]
    Image.fromarray((grey * rng.choice([65535, 4095])).astype(np.uint16)).save(path)


def jpeg(digit, path, rng):
    """Compressed until blocks are seen."""
    image = Image.fromarray(np.rint(on_paper(digit, rng).pixels(rng) * 255).astype(np.uint8))
    image.save(path.with_suffix(".jpg"), quality=int(rng.integers(8, 40)))


def webp(digit, path, rng):
    image = Image.fromarray(np.rint(on_paper(digit, rng).pixels(rng) * 255).astype(np.uint8))
    image.save(path.with_suffix(".webp"), quality=int(rng.integers(10, 60)))


def bitmap(digit, path, rng):
    save_png(on_paper(digit, rng), path.with_suffix(".bmp"), rng, str(rng.choice(["1", "L", "RGB"])))


def colours(digit, path, rng):
    """Ink and paper of different colours, some of the same luminance."""
    while True:
        paper, ink = rng.uniform(0.1, 1, (2, 3))
        if np.abs(paper - ink).max() > 0.4:
            break
    save_png(Picture(page(digit, rng), paper, ink), path, rng)


def transparent(digit, path, rng):
    coverage = page(digit, rng)
    colour = rng.integers(0, 90, 3) if rng.random() < 0.5 else rng.integers(170, 256, 3)
    pixels = np.broadcast_to(colour, (*coverage.shape, 3))
    alpha = np.rint(coverage * 255)[..., None]
    Image.fromarray(np.concatenate([pixels, alpha], axis=2).astype(np.uint8), "RGBA").save(path)


def photo(digit, path, rng):
    """All at once: a large colour JPEG with uneven light and noise, stored rotated."""
    picture = Picture(
        page(digit, rng, side=(900, 2000), share=(0.2, 0.6)),
        np.array([0.93, 0.9, 0.85]) * rng.uniform(0.8, 1),
        rng.uniform(0.05, 0.35, 3),
        noise=rng.uniform(0.01, 0.06),
    )
    shape = picture.coverage.shape
    picture.light = falling_light(shape, rng, rng.uniform(0, 0.5)) * spot(shape, rng, rng.uniform(0, 0.6))
    picture.coverage = ndimage.gaussian_filter(picture.coverage, rng.uniform(0.5, 3))
    image = Image.fromarray(np.rint(picture.pixels(rng) * 255).astype(np.uint8))
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    image.transpose(STORED[6]).save(path.with_suffix(".jpg"), exif=exif, quality=75)


def is_whole(strokes, original):
    """Whether strokes are connected and nearly as large as the original."""
    boxes = [np.ptp(np.argwhere(mask), axis=0) for mask in (strokes, original) if mask.any()]
    return ndimage.label(strokes)[1] == 1 and (boxes[0] >= 0.8 * boxes[1]).all()


def thin(digit, path, rng):
    """A fine pen: the strokes are eroded as far as they stay connected."""
    coverage = page(digit, rng, side=(300, 900), threshold=0.5)
    distance = ndimage.distance_transform_edt(coverage > 0.5)
    radii = np.linspace(0.8 * distance.max(), 0, 30)
    strokes = next(s for r in radii if is_whole(s := distance > r, coverage > 0.5) or r == 0)
    picture = Picture(ndimage.gaussian_filter(strokes.astype(np.float32), 0.7), grey(0.95), grey(0.15))
    save_png(picture, path, rng, "L")


def thick(digit, path, rng):
    """A marker."""
    coverage = page(digit, rng, side=(300, 600), share=(0.4, 0.6), threshold=0.3)
    height = np.ptp(np.flatnonzero(coverage.any(axis=1)))
    wide = ndimage.maximum_filter(coverage, max(2, round(height / 14)))
    save_png(Picture(wide, grey(0.95), grey(0.1)), path, rng, "L")


def cut_off(digit, path, rng):
    """A part of the digit is beyond the border."""
    ink = drawn(digit, 200, rng)
    cut = int(0.15 * ink.shape[0])
    picture = Picture(np.pad(ink[cut:], ((0, 60), (60, 60))), grey(0.95), grey(0.1))
    save_png(picture, path, rng, "L")


def tight(digit, path, rng):
    """Cropped to the ink."""
    ink = drawn(digit, int(rng.integers(60, 300)), rng)
    rows, columns = (np.flatnonzero((ink > 0.5).any(axis=axis)) for axis in (1, 0))
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    save_png(Picture(box, grey(0.95), grey(0.1)), path, rng, "L")


Writer = Callable[[np.ndarray, Path, np.random.Generator], None]
KINDS: dict[str, Writer] = {
    "original": original, "inverted": original_inverted, "big": big, "off centre": off_centre,
    "small in 28x28": small_in_28, "pencil": pencil,
    "light falls off": _lit(falling_light, 0.4, 0.8), "lamp": _lit(spot, 0.3, 0.8),
    "shadow": _lit(shadow, 0.2, 0.5), "noise": noisy, "specks": specks, "frame": frame, "EXIF": turned,
    "16 bits": deep, "JPEG": jpeg, "WebP": webp, "BMP": bitmap, "colours": colours,
    "transparent": transparent, "photo": photo, "thin": thin, "thick": thick, "cut off": cut_off,
    "tight": tight,
}  # fmt: skip
CLEAN = ("original", "inverted", "big", "off centre", "EXIF", "16 bits", "BMP", "WebP", "transparent")


def write(folder: Path, digits, labels, count: int, seed: int) -> Iterator[tuple[Path, str, int]]:
    """Write `count` pictures, as many of each kind; yield path, kind and label of each."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(digits))
    for number in range(count):
        index = order[number % len(order)]
        kind = list(KINDS)[number % len(KINDS)]
        path = folder / f"{number:03}_{kind.replace(' ', '-')}_{labels[index]}.png"
        KINDS[kind](digits[index], path, rng)
        (written,) = folder.glob(f"{number:03}_*")
        yield written, kind, int(labels[index])


def main() -> None:
    from numpy_vgg7.data.mnist import read_pixels
    from tests.commands import numpy_vgg7

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    options.out.mkdir()
    digits, labels = read_pixels(options.data_dir)
    made = list(write(options.out, digits, labels, options.count, options.seed))
    weights = [options.weights] if options.weights else []
    done = numpy_vgg7(
        "predict", *weights, *(path for path, *_ in made), "--json", "--show", options.out / "seen.png"
    )
    print(done.stderr, end="")
    rows = {row["file"]: row for row in json.loads(done.stdout)["predictions"]}
    table = collections.defaultdict(list)
    for path, kind, label in made:
        row = rows.get(str(path), {"label": None, "warnings": ["refused"]})
        table[kind].append((row["label"] == label, bool(row["warnings"])))
        if row["label"] != label:
            print(f"{path.name}: {row['label']} ({row.get('probability', 0):.2f}) {row['warnings']}")
    for kind, results in table.items():
        right, warned = (sum(column) for column in zip(*results, strict=True))
        missed = sum(not (right or warned) for right, warned in results)
        print(f"{kind:<16} {right:>3} of {len(results)} right, {warned:>3} warned, {missed:>3} missed")
    results = [result for kind in table.values() for result in kind]
    clean = [right for kind in CLEAN for right, _ in table[kind]]
    print(f"right {np.mean([right for right, _ in results]):.3f}", end=", ")
    print(f"right or warned {np.mean([right or warned for right, warned in results]):.3f}", end=", ")
    print(f"clean ones right {np.mean(clean):.3f} of {len(clean)}")


if __name__ == "__main__":
    main()
