"""Pictures for `predict`: scans, photos and drawings of one digit become images like the training images.

`decode.py` reads the formats, `ink.py` finds the ink on its background, `shapes.py` finds the digit among the
other ink, `centre.py` gives it the size and place that the network knows, and `prepare.py` calls them in
order. `read.py` is what `predict` calls for each file; `show.py` draws what the network saw.
"""

# The names of formats in Pillow, and their suffixes.
FORMATS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
}
# `predict` takes a first file without one of these for weights.
SUFFIXES = (*(suffix for suffixes in FORMATS.values() for suffix in suffixes), ".npy")
