"""Weights files are lossless, and verified when they are read."""

import json

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import nn

from numpy_vgg7 import VGG7, VGG7Config, VGG7Error
from numpy_vgg7.config import PRESETS
from numpy_vgg7.parity.case import random_model
from numpy_vgg7.weights import formats, read_foreign, save
from numpy_vgg7.weights.record import KEY
from torch_ref import from_torch
from torch_ref.weights import write_pt

# fc6 is square, so that a transposed one has the right shape.
CONFIG = VGG7Config(image_size=8, channels=(2, 2, 4, 4), hidden=(6, 6))


@pytest.fixture
def model():
    return random_model(CONFIG, 3, "float32")


@pytest.fixture
def path(model, tmp_path):
    model.save(tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def rewrite(path, change):
    """Change the tensors of a file and keep its metadata."""
    tensors, metadata = formats.read_safetensors(path)
    change(tensors)
    path.write_bytes(safetensors.numpy.save(tensors, metadata={KEY: metadata}))


SOURCES = {
    "C-ordered": np.ascontiguousarray,
    "Fortran-ordered": np.asfortranarray,
    "sliced": lambda p: np.concatenate([p, p])[: len(p)][::-1][::-1],
    "strided": lambda p: np.repeat(p, 2, axis=-1)[..., ::2],
    "big-endian": lambda p: p.astype(p.dtype.newbyteorder(">")),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt"])
def test_weights_in_any_memory_layout_round_trip_bit_for_bit(tmp_path, suffix, preset, dtype):
    model = random_model(VGG7Config.preset(preset, image_size=8), 3, dtype)
    kept = dict(model.params)
    for source, change in SOURCES.items():
        model.params = {name: change(parameter) for name, parameter in kept.items()}
        save(tmp_path / f"w{suffix}", model, {**formats.WRITERS, ".pt": write_pt})
        back, inferred = read_foreign(tmp_path / f"w{suffix}")
        assert inferred == (suffix == ".pt")  # a state_dict has no metadata
        assert back.config == model.config
        for name, parameter in kept.items():
            assert back.params[name].dtype == parameter.dtype, (source, name)
            assert back.params[name].tobytes() == parameter.tobytes(), (source, name)


def test_the_same_model_gives_the_same_bytes(model, path, tmp_path):
    model.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_the_file_contains_configuration_checksums_and_probe(path):
    _, metadata = formats.read_safetensors(path)
    record = json.loads(metadata)
    assert record.keys() == {"format_version", "config", "sha256", "probe_logits"}
    assert np.array(record["probe_logits"]).shape == (2, 10)


def _nan(tensors):
    tensors["conv2.weight"] = tensors["conv2.weight"].copy()
    tensors["conv2.weight"][0, 0, 1, 2] = np.inf


def _touch(tensors):
    tensors["fc5.bias"] = tensors["fc5.bias"] + np.float32(1e-3)


DAMAGE = {
    "missing": (lambda t: t.pop("conv3.bias"), "conv3.bias.*no such tensor"),
    "unexpected": (lambda t: t.update(extra=np.zeros(2)), "extra"),
    "misshapen": (lambda t: t.update({"fc7.weight": t["fc7.weight"].T.copy()}), r"fc7.weight.*\(10, 6\)"),
    "non-finite": (_nan, r"conv2.weight.*inf at \[0, 0, 1, 2\]"),
    "half precision": (
        lambda t: t.update({"fc6.bias": np.zeros(6, "float16")}),
        "fc6.bias.*float16",
    ),
    "integers": (lambda t: t.update({"fc6.bias": np.zeros(6, dtype="int64")}), "fc6.bias.*int64"),
    "mixed": (lambda t: t.update({"fc6.bias": t["fc6.bias"].astype("float64")}), "fc6.bias.*float64"),
    "touched": (_touch, "fc5.bias.*SHA-256"),
    "transposed": (
        lambda t: t.update({"fc6.weight": t["fc6.weight"].T.copy()}),
        "fc6.weight.*SHA-256",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_the_error_of_a_damaged_file_names_the_tensor(path, kind):
    change, words = DAMAGE[kind]
    rewrite(path, change)
    with pytest.raises(VGG7Error, match=words) as caught:
        VGG7.load(path)
    assert "\n" not in str(caught.value)


def test_wrong_probe_logits_are_detected(path):
    tensors, metadata = formats.read_safetensors(path)
    record = json.loads(metadata)
    record["config"]["activations"][4] = "arctan"
    path.write_bytes(safetensors.numpy.save(tensors, metadata={KEY: json.dumps(record)}))
    with pytest.raises(VGG7Error, match="probe_logits"):
        VGG7.load(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"hello, this is a text\n", "safetensors"), (b"", "safetensors"), (None, "safetensors")],
    ids=["text", "empty", "truncated"],
)
def test_a_file_of_another_format_is_refused(path, content, words):
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    with pytest.raises(VGG7Error, match=words):
        VGG7.load(path)


def test_a_foreign_safetensors_needs_import(model, tmp_path):
    safetensors.numpy.save_file(model.params, tmp_path / "foreign.safetensors")
    with pytest.raises(VGG7Error, match="numpy-vgg7 import"):
        VGG7.load(tmp_path / "foreign.safetensors")
    back, inferred = read_foreign(tmp_path / "foreign.safetensors")
    assert inferred
    assert back.config == model.config


@pytest.mark.parametrize("name", ["article", "vgg7", "vgg7-wide"])
def test_the_configuration_of_a_preset_is_inferred_from_its_shapes(tmp_path, name):
    model = VGG7(VGG7Config.preset(name, image_size=12))
    safetensors.numpy.save_file(model.params, tmp_path / "w.safetensors")
    assert read_foreign(tmp_path / "w.safetensors")[0].config == model.config


def test_groups_and_classes_are_inferred_from_shapes(tmp_path):
    config = VGG7Config(image_size=8, classes=3, channels=(2, 4, 6, 6), groups=(1, 2, 2, 3), hidden=(5, 7))
    safetensors.numpy.save_file(VGG7(config).params, tmp_path / "w.safetensors")
    assert read_foreign(tmp_path / "w.safetensors")[0].config == config


def test_pickled_objects_in_an_npz_are_never_loaded(tmp_path):
    np.savez(tmp_path / "w.npz", **{"conv1.weight": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(VGG7Error, match=r"plain numeric arrays.*allow_pickle"):
        read_foreign(tmp_path / "w.npz")


def test_loaded_weights_share_no_memory_with_their_source(model):
    copy = VGG7.from_params(model.config, model.params)
    assert all(not np.shares_memory(copy.params[name], model.params[name]) for name in model.params)


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(model, path, monkeypatch):
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(VGG7Error, match="no space left"):
        random_model(CONFIG, 4, "float32").save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_missing_folder_is_reported(model, tmp_path):
    with pytest.raises(VGG7Error, match="no such file"):
        model.save(tmp_path / "nowhere" / "w.safetensors")


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_load_reads_what_save_writes(model, tmp_path, suffix):
    model.save(tmp_path / f"w{suffix}")
    found = VGG7.load(tmp_path / f"w{suffix}")
    assert found.config == model.config
    assert all(np.array_equal(found.params[name], p) for name, p in model.params.items())


BAD_PARAMETERS = {
    "a list": (lambda p: list(p.values()), "dictionary of arrays"),
    "tensors": (lambda p: {name: torch.tensor(a) for name, a in p.items()}, "NumPy array, found Tensor"),
    "lists": (lambda p: {name: a.tolist() for name, a in p.items()}, "NumPy array, found list"),
    "nothing": (lambda p: {}, "conv1.weight"),
}


@pytest.mark.parametrize("kind", BAD_PARAMETERS)
def test_parameters_that_are_not_arrays_by_name_are_a_weights_error(model, kind):
    change, words = BAD_PARAMETERS[kind]
    with pytest.raises(VGG7Error, match=words):
        VGG7.from_params(model.config, change(model.params))


def test_other_objects_in_place_of_a_configuration_or_module_are_a_weights_error(model):
    with pytest.raises(VGG7Error, match="expected a VGG7Config, found dict"):
        VGG7.from_params({}, model.params)
    for other in (nn.Linear(2, 2), None):
        with pytest.raises(VGG7Error, match="expected a TorchVGG7, found"):
            from_torch(other)
