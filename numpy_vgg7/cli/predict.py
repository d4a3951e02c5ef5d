"""`numpy-vgg7 predict`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from numpy_vgg7.cli import BAD_INPUT, options
from numpy_vgg7.cli.console import complain, print_json, screen
from numpy_vgg7.cli.options import AsJson
from numpy_vgg7.errors import OutputError, VGG7Error
from numpy_vgg7.pictures import SUFFIXES

if TYPE_CHECKING:
    from numpy_vgg7.functional import Array


def predict(
    first: Annotated[
        Path,
        typer.Argument(
            help="A run folder, or weights in any format that `import` reads. If the name has the suffix "
            "of an image, it is the first image, and the weights shipped with the package are used.",
            metavar="WEIGHTS|IMAGE",
            **options.ANY_FILE,
        ),
    ],
    others: Annotated[
        list[Path] | None,
        typer.Argument(help=f"Images: {', '.join(SUFFIXES)}.", metavar="IMAGE", **options.ANY_FILE),
    ] = None,
    show: Annotated[
        Path | None,
        typer.Option(
            help="Write a PNG file that shows what the network saw.", metavar="FILE", **options.ANY_FILE
        ),
    ] = None,
    pixel_max: options.PixelMax = None,
    mean: options.Mean = None,
    std: options.Std = None,
    invert: options.Invert = False,
    quiet: options.Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Print the most probable class of each image.

    An image shows one digit of any size, anywhere, darker or lighter than its background; the output
    says how it was read. Files that cannot be read are reported; the exit code is then 3. The options about
    pixels apply to .npy files only.
    """
    from numpy_vgg7 import pretrained
    from numpy_vgg7.files import require_suffix
    from numpy_vgg7.pictures import read
    from numpy_vgg7.pictures.show import MOST, write_sheet

    weights, images = _split(first, others or [])
    if show:
        require_suffix(show, ".png")
        if os.path.realpath(show) in map(os.path.realpath, images):  # Path.resolve fails on loops of links
            raise OutputError(
                str(show), "a name that is not one of the images", "one of them", "choose another"
            )
    encoding = options.encoding(pixel_max, mean, std, invert)
    model = options.read_weights(weights) if weights else pretrained.mnist()
    rows: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    seen: list[Array] = []
    for path in images:
        try:
            file = read.read_images(path, model.config.image_size, encoding)
        except VGG7Error as error:  # the other files still have an answer
            complain(str(error))
            errors.append({"file": str(path), "error": str(error)})
            continue
        found = [
            {
                "file": str(path),
                "index": index,
                "label": int(probs.argmax()),
                "probability": float(probs.max()),
                "probabilities": probs.tolist(),
                "assumed": file.assumed,
                "warnings": list(file.warnings),
            }
            for index, probs in enumerate(model.predict_proba(file.images))
        ]
        rows += found
        seen += list(file.images[: MOST - len(seen), 0]) if show else []
        if not as_json:
            _print_rows(found)
    if as_json:
        print_json({"predictions": rows, "errors": errors})
    if show and seen:
        write_sheet(show, seen, [f"{row['file']}: {row['label']}" for row in rows])
        if len(rows) > len(seen):
            options.print_note(f"{show}: only the first {len(seen)} images")
    if errors:
        raise typer.Exit(BAD_INPUT)


def _split(first: Path, others: list[Path]) -> tuple[Path | None, list[Path]]:
    """The weights, or None for those of the package, and the images."""
    if first.suffix.lower() in SUFFIXES:
        return None, [first, *others]
    if not others:
        message = f"no image is given: {first} is taken as weights, since its name does not end in "
        raise typer.BadParameter(message + ", ".join(SUFFIXES), param_hint="IMAGE")
    return first, others


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """Print the answers for one file, and its warnings on standard error."""
    for row in rows:
        image = f", image {row['index']}" if len(rows) > 1 else ""
        screen.print(f"{row['file']}{image}: {row['label']} ({row['probability']:.1%}; {row['assumed']})")
    for warning in rows[0]["warnings"]:
        options.print_warning(f"{rows[0]['file']}: warning: {warning}")
