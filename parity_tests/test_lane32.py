"""The float32 lane measures rounding, and is not misled by a ReLU that rounding flips."""

import numpy as np

from numpy_vgg7 import VGG7Config
from numpy_vgg7.parity.case import random_case, random_model
from numpy_vgg7.parity.rounding import rounding_errors, without_flips
from torch_ref.trace import trace as referee


def case(seed):
    model = random_model(VGG7Config.preset("vgg7"), seed)
    return random_case(model, 64, seed).astype("float32")


def test_images_whose_relu_flips_in_float32_are_left_out():
    given = case(2)

    def flipped_in_image_3(one):
        trace = referee(one)
        trace["conv2"][3, 0, 5, 5] *= -1
        return trace

    kept, some = without_flips(given, referee), without_flips(given, flipped_in_image_3)
    assert 32 <= len(kept.labels) <= 64
    assert not any(np.array_equal(image, given.images[3]) for image in some.images)
    assert len(some.images) == len(some.labels)


def test_rounding_of_the_preset_is_that_of_pytorch_within_a_small_factor():
    for seed in (0, 2):
        ratios = [found.ratio for found in rounding_errors(case(seed), referee)]
        assert max(ratios) <= 4, "goal 2, see tolerances.py; a flipped ReLU would give thousands"
        assert np.median(ratios) <= 1.5
