"""Keras' files: a network of stock Keras is imported as the same function, and ours runs in Keras."""

import io
import json
import shutil
import warnings
import zipfile

import h5py
import numpy as np
import pytest

import keras_ref  # isort: skip  (before Keras, whose backend it sets)
import keras
from keras import layers

from numpy_vgg7 import VGG7Error
from numpy_vgg7.cli.options import writers
from numpy_vgg7.data import load, split
from numpy_vgg7.parity.case import random_model
from numpy_vgg7.weights import Origin, import_weights, save
from numpy_vgg7.weights.check import check
from numpy_vgg7.weights.probe import read_probe
from parity_tests.configurations import CONFIGS
from tests.commands import numpy_vgg7

# A warning of NumPy's about what Keras' own variables do on PyTorch.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ACTIVATIONS = ("relu", "relu", "relu", "relu", "tanh", "tanh", "identity")


@pytest.fixture(scope="module")
def digits():
    return split(load("digits", 10))


@pytest.fixture(scope="module")
def stock(digits):
    """The preset `vgg7` with fewer channels as any Keras user would write it, trained for an epoch."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.Conv2D(4, 3, padding="same"),
            layers.ReLU(),
            layers.AveragePooling2D(2),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(16, activation="tanh"),
            layers.Dropout(0.1),
            layers.Dense(16),
            layers.Activation("tanh"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(digits.train.images.reshape(-1, 8, 8, 1), digits.train.labels, epochs=1, verbose=0)
    return model


@pytest.fixture(scope="module")
def files(stock, digits, tmp_path_factory):
    """The network in every format that Keras writes, and what it computes for the test images."""
    folder = tmp_path_factory.mktemp("keras")
    stock.save(folder / "w.keras")
    stock.save_weights(folder / "w.weights.h5")
    np.savez(folder / "w.npz", *stock.get_weights())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that shapes become constants
        stock.export(folder / "w.onnx", format="onnx", verbose=False)
    images = digits.test.images.reshape(-1, 8, 8, 1)
    probabilities = stock.predict(images, verbose=0)
    np.savez(folder / "probe.npz", images=images, probabilities=probabilities)
    return folder


LAYOUT = {"w.keras": "keras", "w.weights.h5": "keras", "w.npz": "keras", "w.onnx": "pytorch"}


@pytest.mark.parametrize("name", LAYOUT)
def test_a_trained_network_of_stock_keras_is_imported_as_the_same_function(stock, digits, files, name):
    model = import_weights(files / name, Origin(layout=LAYOUT[name])).model
    verdict = check(model, read_probe(files / "probe.npz"))
    assert verdict.passed, verdict.message
    theirs = stock.predict(digits.test.images.reshape(-1, 8, 8, 1), verbose=0)
    assert np.abs(model.predict_proba(digits.test.images) - theirs).max() <= 1e-5
    assert np.array_equal(model.predict(digits.test.images), theirs.argmax(axis=1))
    assert len(set(theirs.argmax(axis=1))) > 5, "the network has learned nothing"


def test_the_command_checks_a_network_of_keras(files, tmp_path):
    words = (files / "w.weights.h5", tmp_path / "w.safetensors", "--check", files / "probe.npz")
    done = numpy_vgg7("import", *words, "--layout", "keras")
    assert done.code == 0, done.stderr
    assert "check passed" in done.stderr
    done = numpy_vgg7("import", *words, "--layout", "keras", "--flatten", "chw")
    assert done.code == 4
    assert "flatten" in done.stderr


def test_a_keras_file_says_its_layers(files):
    found = import_weights(files / "w.keras")
    assert found.model.config.activations == ACTIVATIONS
    assert [line.split(":")[0] for line in found.assumed] == ["assumed pixels"]
    with pytest.raises(VGG7Error, match="the file contains its layers"):
        import_weights(files / "w.keras", Origin(activations=("relu",) * 7))


def test_weights_alone_need_the_layout(files):
    with pytest.raises(VGG7Error, match="--layout keras"):
        import_weights(files / "w.weights.h5")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CONFIGS)
def test_weights_round_trip_bit_for_bit_and_keras_computes_the_same(tmp_path, name, dtype):
    model = random_model(CONFIGS[name], 3, dtype)
    for file in ("w.keras", "w.weights.h5"):
        save(tmp_path / file, model, writers(tmp_path / file))
        said = Origin() if file == "w.keras" else Origin(layout="keras", activations=model.config.activations)
        found = import_weights(tmp_path / file, said).model
        assert found.config == model.config
        for key, parameter in model.params.items():
            assert found.params[key].tobytes() == parameter.tobytes(), key
            assert found.params[key].dtype == parameter.dtype, key
    size = model.config.image_size
    images = np.random.default_rng(0).uniform(size=(5, size, size)).astype(dtype)
    theirs = keras.models.load_model(tmp_path / "w.keras")
    other = keras_ref.to_keras(model.config, random_model(CONFIGS[name], 4, dtype).params)
    other.load_weights(tmp_path / "w.weights.h5")
    for network in (theirs, other):
        logits = network.predict(images[..., None], verbose=0)
        ours = model.logits(images)
        assert np.abs(ours - logits).max() <= 1e-5 * np.abs(ours).max()


def test_the_weights_as_npz_fit_keras(tmp_path):
    model = random_model(CONFIGS["vgg7"], 3, "float32")
    model.save(tmp_path / "w.safetensors")
    words = ("--layout", "keras", "--probe", tmp_path / "probe.npz")
    assert numpy_vgg7("export", tmp_path / "w.safetensors", tmp_path / "w.npz", *words).code == 0
    network = keras_ref.to_keras(model.config, random_model(CONFIGS["vgg7"], 4, "float32").params)
    with np.load(tmp_path / "w.npz") as arrays, np.load(tmp_path / "probe.npz") as probe:
        for layer in network.layers:
            if layer.weights:
                layer.set_weights([arrays[f"{layer.name}/{key}"] for key in ("kernel", "bias")])
        logits = network.predict(probe["images"].transpose(0, 2, 3, 1), verbose=0)
        assert np.abs(logits - probe["logits"]).max() <= 1e-5 * np.abs(logits).max()


def test_a_name_that_keras_would_not_read_is_refused(tmp_path):
    model = random_model(CONFIGS["vgg7"], 3, "float32")
    with pytest.raises(VGG7Error, match=r"or \.weights\.h5, found"):
        save(tmp_path / "w.h5", model, writers(tmp_path / "w.h5"))


def edited(files, folder, change):
    """The .keras file with another configuration."""
    with zipfile.ZipFile(files / "w.keras") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(entries["config.json"])
    change(config)
    entries["config.json"] = json.dumps(config)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    (folder / "w.keras").write_bytes(stream.getvalue())
    return folder / "w.keras"


def layer(config, number):
    return config["config"]["layers"][number]


LACKS = {
    "max pooling": lambda c: layer(c, 4).update(class_name="MaxPooling2D"),
    "global average pooling": lambda c: layer(c, 7).update(class_name="GlobalAveragePooling2D"),
    "batch normalization": lambda c: layer(c, 10).update(class_name="BatchNormalization"),
    "scaling of the images": lambda c: layer(c, 10).update(class_name="Rescaling"),
    "activation gelu": lambda c: layer(c, 1)["config"].update(activation="gelu"),
    "leaky ReLU": lambda c: layer(c, 3)["config"].update(negative_slope=0.1),
    "ReLU6 or clipping": lambda c: layer(c, 3)["config"].update(max_value=6.0),
    "convolutions without padding 1": lambda c: layer(c, 5)["config"].update(padding="valid"),
    "convolutions with a stride": lambda c: layer(c, 5)["config"].update(strides=[2, 2]),
    "dilated convolutions": lambda c: layer(c, 5)["config"].update(dilation_rate=[2, 2]),
    "kernels of another size": lambda c: layer(c, 5)["config"].update(kernel_size=[5, 5]),
    "pooling of other windows": lambda c: layer(c, 4)["config"].update(pool_size=[3, 3]),
    "channels-first layers": lambda c: layer(c, 8)["config"].update(data_format="channels_first"),
    "images with several channels": lambda c: layer(c, 0)["config"].update(batch_shape=[None, 8, 8, 3]),
    "images that are not square": lambda c: layer(c, 0)["config"].update(batch_shape=[None, 8, 4, 1]),
    "layer Mine": lambda c: layer(c, 10).update(class_name="Mine"),
    "relu after relu": lambda c: layer(c, 2)["config"].update(activation="relu"),
}


@pytest.mark.parametrize("feature", LACKS)
def test_what_a_vgg7_has_not_is_refused_by_its_name(files, tmp_path, feature):
    with pytest.raises(VGG7Error, match=f"which has no {feature}"):
        import_weights(edited(files, tmp_path, LACKS[feature]))


CHANGES = {
    "a class of one's own": (lambda c: c.update(class_name="Mine"), "Sequential or Functional"),
    "no bias": (lambda c: layer(c, 5)["config"].update(use_bias=False), "1 arrays of Conv2D"),
    "another image size": (
        lambda c: layer(c, 0)["config"].update(batch_shape=[None, 12, 12, 1]),
        "images of 12",
    ),
    "a layer left out": (lambda c: c["config"]["layers"].pop(4), "the layers of a VGG7"),
    "no layers": (lambda c: c["config"].update(layers=[]), "found no layers"),
    "no configuration": (lambda c: c.clear(), "KeyError"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_configuration_that_does_not_fit_is_refused(files, tmp_path, kind):
    change, words = CHANGES[kind]
    with pytest.raises(VGG7Error, match=words):
        import_weights(edited(files, tmp_path, change))


def test_branches_are_refused(tmp_path):
    images = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(images)
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.AveragePooling2D(2)(x)  # y leads nowhere but to the second output
    x = layers.Dense(10)(layers.Flatten()(x))
    keras.Model(images, [x, y]).save(tmp_path / "w.keras")
    with pytest.raises(VGG7Error, match="branches"):
        import_weights(tmp_path / "w.keras")


@pytest.mark.parametrize("package", ["h5py", "keras"])
def test_a_missing_package_is_named_in_one_line(files, tmp_path, package):
    error = f"raise ModuleNotFoundError(\"No module named '{package}'\", name='{package}')"
    (tmp_path / f"{package}.py").write_text(error)
    words = ("inspect", files / "w.keras")
    if package == "keras":
        words = ("export", files / "w.keras", tmp_path / "out.keras")
    done = numpy_vgg7(*words, PYTHONPATH=str(tmp_path))
    assert done.code == 3, done.stdout
    assert "numpy-vgg7[keras]" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def _linked(file):
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = h5py.ExternalLink("other.h5", "/secret")


def _elsewhere(file):
    del file["layers/dense/vars/0"]
    file["layers/dense/vars"].create_dataset("0", (4, 4), "f4", external=[("other.raw", 0, 64)])


def _compressed(file):
    del file["layers/dense/vars/0"]
    file["layers/dense/vars"].create_dataset(
        "0", (10**5, 10**5), "f4", chunks=(10**4, 10**4), compression="gzip"
    )


def _unwritten(file):
    del file["layers/dense/vars/0"]
    file["layers/dense/vars"].create_dataset("0", (10**5, 10**5), "f4")


HOSTILE = {
    "a link to another file": (_linked, "0 is a link"),
    "numbers in another file": (_elsewhere, "that Keras does not write"),
    "compressed numbers": (_compressed, "that Keras does not write"),
    "forty gigabytes that were not written": (_unwritten, "does not fit 0 bytes"),
    "texts": (
        lambda file: file["layers/dense/vars"].create_dataset("2", data=b"text"),
        "Keras does not write",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_hdf5_is_refused_before_memory_is_taken(files, tmp_path, kind):
    change, words = HOSTILE[kind]
    shutil.copy(files / "w.weights.h5", tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "a") as file:
        change(file)
    with pytest.raises(VGG7Error, match=words):
        import_weights(tmp_path / "w.h5", Origin(layout="keras"))


def test_a_huge_configuration_is_refused_before_it_is_parsed(files, tmp_path):
    path = edited(files, tmp_path, lambda config: config.update(filler="[]" * 10**6))
    with pytest.raises(VGG7Error, match=r"config\.json of 2,"):
        import_weights(path)


@pytest.mark.parametrize("name", ["w.h5", "w.keras"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04"], ids=["empty", "text", "start of a zip"])
def test_a_file_of_another_format_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VGG7Error, match="file of Keras 3"):
        import_weights(tmp_path / name)
