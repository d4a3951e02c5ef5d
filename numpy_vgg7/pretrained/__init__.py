"""Weights that come with the package. docs/pretrained.md says how they were trained."""

from pathlib import Path

from numpy_vgg7.model import VGG7

MNIST = Path(__file__).with_name("mnist.safetensors")


def mnist() -> VGG7:
    """A small VGG7 for 28x28 images of handwritten digits, trained on MNIST."""
    return VGG7.load(MNIST)
