"""VGG7Config is validated, frozen, and converted to JSON and back."""

import dataclasses
import json

import pytest

from numpy_vgg7 import VGG7, VGG7Config, VGG7Error
from numpy_vgg7.config import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_conversion_to_json_and_back(name):
    config = VGG7Config.preset(name, image_size=12)
    assert VGG7Config.from_json(config.to_json()) == config


def test_a_configuration_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        VGG7Config.preset("vgg7").image_size = 32  # type: ignore[misc]


def test_the_presets_have_the_published_sizes():
    count = {name: sum(p.size for p in VGG7(config).params.values()) for name, config in PRESETS.items()}
    # article: 9 + 9 + 18 + 18 kernels' weights, then 98x1024, 1024x512 and 512x10.
    assert count["article"] == 54 + 98 * 1024 + 1024 * 512 + 512 * 10
    convs = (9 + 1) * 16 + (9 * 16 + 1) * 16 + (9 * 16 + 1) * 32 + (9 * 32 + 1) * 32
    assert count["vgg7"] == convs + (1568 + 1) * 256 + (256 + 1) * 128 + (128 + 1) * 10


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_size": 30}, ("image_size", "multiple of 4", "30", "use 32")),
        ({"image_size": 0}, ("image_size", "0")),
        ({"image_size": 28.0}, ("image_size", "28.0")),
        ({"classes": 1}, ("classes", "at least 2")),
        ({"channels": (16, 16, 32)}, ("channels", "4 values")),
        ({"channels": (16, 16, -1, 32)}, ("channels", "-1")),
        ({"groups": (1, 3, 1, 1)}, ("groups of conv2", "16", "3")),
        ({"groups": (2, 1, 1, 1)}, ("groups of conv1", "2")),
        ({"hidden": (True, 3)}, ("hidden", "True")),
        ({"activations": ("relu",) * 6 + ("swish",)}, ("activations", "swish")),
        ({"bias": 1}, ("bias", "true or false")),
    ],
    ids=str,
)
def test_the_error_of_an_invalid_field_names_it_and_what_is_expected(changes, words):
    with pytest.raises(VGG7Error) as caught:
        VGG7Config.preset("vgg7", **changes)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"image_size": 28}', "not json"])
def test_json_of_anything_else_is_refused(text):
    with pytest.raises(VGG7Error, match="configuration"):
        VGG7Config.from_json(text)


def test_an_unknown_key_in_json_is_refused():
    record = json.loads(VGG7Config.preset("vgg7").to_json()) | {"dropout": 0.5}
    with pytest.raises(VGG7Error, match="dropout"):
        VGG7Config.from_json(json.dumps(record))


def test_the_error_of_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(VGG7Error, match="article, vgg7, vgg7-wide"):
        VGG7Config.preset("vgg16")
