"""Small networks for tests of files: every preset, and one with groups and every activation."""

from numpy_vgg7 import VGG7Config
from numpy_vgg7.config import PRESETS

GROUPED = VGG7Config(
    image_size=12, channels=(2, 4, 4, 6), groups=(1, 2, 4, 2), hidden=(5, 7), classes=3,
    activations=("relu", "tanh", "arctan", "identity", "relu", "arctan", "tanh"),
)  # fmt: skip
CONFIGS = {name: VGG7Config.preset(name, image_size=8) for name in PRESETS} | {"grouped": GROUPED}
