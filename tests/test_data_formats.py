"""Files of data sets: MNIST's, npz, npy, CSV and folders, and damaged or hostile ones."""

import gzip
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from numpy_vgg7 import VGG7Error
from numpy_vgg7.data import Encoding, load, split
from numpy_vgg7.data.idx import read_idx
from tests.commands import numpy_vgg7
from tests.t10k import idx

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(256, size=(130, 28, 28)).astype(np.uint8)
PIXELS[:, [0, -1]] = PIXELS[:, :, [0, -1]] = 0
LABELS = np.arange(130) % 10
FILES = {
    "train-images-idx3-ubyte": PIXELS[:100],
    "train-labels-idx1-ubyte": LABELS[:100],
    "t10k-images-idx3-ubyte": PIXELS[100:],
    "t10k-labels-idx1-ubyte": LABELS[100:],
}


def write(folder, rename=lambda name: name, pack=lambda content: content):
    """The four files of MNIST in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in FILES.items():
        (folder / rename(name)).write_bytes(pack(idx(array)))
    return folder


LAYOUTS = {
    "plain": ("", lambda name: name, bytes),
    "dots": ("", lambda name: name.replace("-idx", ".idx"), bytes),
    "gzipped": ("", lambda name: f"{name}.gz", gzip.compress),
    "gzipped without suffix": ("raw", lambda name: name, gzip.compress),
    "plain with .gz": ("", lambda name: f"{name}.gz", bytes),
    "torchvision": ("MNIST/raw", lambda name: name, bytes),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_mnist_is_found_in_every_layout(tmp_path, layout):
    below, rename, pack = LAYOUTS[layout]
    write(tmp_path / below, rename, pack)
    data = load("mnist", data_dir=tmp_path)
    assert np.array_equal(data.pixels[:, 0], PIXELS[:100])
    assert np.array_equal(data.labels, LABELS[:100])
    assert np.array_equal(data.test.pixels[:, 0], PIXELS[100:])
    assert np.array_equal(data.test.labels, LABELS[100:])


def test_validation_comes_out_of_the_training_part_and_the_official_test_part_is_the_test(tmp_path):
    parts = split(load("mnist", data_dir=write(tmp_path)))
    assert [len(part) for part in parts] == [90, 10, 30]
    together = np.concatenate([parts.train.pixels, parts.validation.pixels])
    assert sorted(map(bytes, together)) == sorted(map(bytes, PIXELS[:100]))
    assert np.array_equal(np.sort(parts.validation.labels), np.arange(10))


def test_the_folder_comes_from_the_variable_or_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMPY_VGG7_DATA", str(write(tmp_path / "named")))
    assert len(load("mnist")) == 100
    with pytest.raises(VGG7Error, match="fashion-mnist"):
        load("fashion-mnist")  # never the MNIST of that folder
    monkeypatch.delenv("NUMPY_VGG7_DATA")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(VGG7Error, match="--download"):
        load("mnist")
    write(tmp_path / "cache" / "numpy-vgg7" / "mnist")
    assert len(load("mnist")) == 100


def test_fashion_mnist_and_emnist_are_read(tmp_path):
    write(tmp_path / "FashionMNIST" / "raw")
    assert len(load("fashion-mnist", data_dir=tmp_path)) == 100
    letters = {"train": "emnist-digits-train", "t10k": "emnist-digits-test"}
    write(tmp_path / "e", lambda name: letters[name.split("-")[0]] + name.removeprefix(name.split("-")[0]))
    data = load("emnist-digits", data_dir=tmp_path / "e")
    assert np.array_equal(data.pixels[:, 0], PIXELS[:100].transpose(0, 2, 1))
    assert np.array_equal(data.test.pixels[:, 0], PIXELS[100:].transpose(0, 2, 1))
    assert "transposed" in " ".join(data.notes)
    with pytest.raises(VGG7Error, match="the files of emnist-digits"):
        load("mnist", data_dir=tmp_path / "e")


def replaced(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def swapped(folder):
    images, labels = (folder / name for name in list(FILES)[:2])
    content = images.read_bytes()
    images.write_bytes(labels.read_bytes())
    labels.write_bytes(content)


IMAGES = "train-images-idx3-ubyte"
CLAIM = bytes([0, 0, 8, 3]) + np.array([2**31, 28, 28], ">u4").tobytes()
HOSTILE = {
    "truncated gzip": (replaced(IMAGES, gzip.compress(idx(PIXELS[:100]))[:-900]), "download it again"),
    "a web page": (replaced(IMAGES, b"<!DOCTYPE html><html>"), "a web page"),
    "swapped": (swapped, "swapped"),
    "other counts": (replaced(IMAGES, idx(PIXELS[:99])), "99"),
    "a header of terabytes": (replaced(IMAGES, CLAIM + bytes(100)), "2147483648"),
    "a gzipped header of terabytes": (replaced(IMAGES, gzip.compress(CLAIM)), "by the size of the file"),
    "a gzip bomb": (replaced(IMAGES, gzip.compress(idx(PIXELS[:100]) + bytes(2**24))), "found more"),
    "a label of 255": (replaced("train-labels-idx1-ubyte", idx(np.where(LABELS[:100] == 3, 255, 1))), "255"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line_and_little_memory(tmp_path, kind):
    damage, words = HOSTILE[kind]
    damage(write(tmp_path))
    tracemalloc.start()
    try:
        with pytest.raises(VGG7Error, match=words) as refused:
            load("mnist", data_dir=tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    assert "\n" not in str(refused.value)


def test_the_command_ends_with_one_line_and_code_3(tmp_path):
    (write(tmp_path) / IMAGES).write_bytes(b"<html>")
    done = numpy_vgg7("train", "--data", "mnist", "--data-dir", tmp_path, "--out", tmp_path / "run")
    assert done.code == 3
    assert len(done.stderr.splitlines()) == 1


def test_an_npz_bomb_is_refused_before_it_is_expanded(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", images=np.zeros((500_000, 28, 28), np.uint8), labels=LABELS)
    tracemalloc.start()
    try:
        with pytest.raises(VGG7Error, match=r"compressed from at most .* without compression: numpy\.savez"):
            load(str(tmp_path / "x.npz"))
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_download_writes_the_four_files_of_openml(tmp_path, monkeypatch):
    images = np.tile(PIXELS[:70].reshape(70, 784), (1000, 1))
    labels = np.tile(LABELS[:70].astype(str).astype(object), 1000)
    asked = []

    def fetch(name, **options):
        asked.append(name)
        return SimpleNamespace(data=images, target=labels)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    for _ in range(2):  # the second time, the files are there
        data = load("mnist", data_dir=tmp_path / "new", download=True)
    assert asked == ["mnist_784"]
    assert (len(data), len(data.test)) == (60_000, 10_000)
    assert np.array_equal(data.test.pixels[0, 0], images[60_000].reshape(28, 28))
    assert np.array_equal(
        read_idx(tmp_path / "new" / "t10k-labels-idx1-ubyte", 1), labels[60_000:].astype(int)
    )


def test_a_download_without_a_network_is_one_line_with_a_way_out(tmp_path, monkeypatch):
    def fetch(*words, **options):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    with pytest.raises(VGG7Error, match=r"openml.*no route to host.*--data-dir"):
        load("mnist", data_dir=tmp_path, download=True)


def test_a_pair_of_npy_files_is_read(tmp_path):
    np.save(tmp_path / "x.npy", PIXELS)
    np.save(tmp_path / "y.npy", LABELS)
    data = load(f"{tmp_path}/x.npy,{tmp_path}/y.npy")
    assert np.array_equal(data.pixels[:, 0], PIXELS)
    with pytest.raises(VGG7Error, match="exchange"):
        load(f"{tmp_path}/y.npy,{tmp_path}/x.npy")
    with pytest.raises(VGG7Error, match=r"IMAGES.npy,LABELS.npy"):
        load(f"{tmp_path}/x.npy")


def table(header, labels, last=False):
    rows = [header] if header else []
    for label, image in zip(labels, PIXELS, strict=False):
        words = [str(pixel) for pixel in image.ravel()]
        rows.append(",".join([*words, str(label)] if last else [str(label), *words]))
    return "\n".join(rows) + "\n"


NAMES = ",".join(f"pixel{number}" for number in range(784))
TABLES = {
    "kaggle": table(f"label,{NAMES}", LABELS[:20]),
    "no header": table("", LABELS[:20]),
    "the label last": table(f"{NAMES},class", LABELS[:20], last=True),
    "a byte order mark": "\ufeff" + table(f"label,{NAMES}", LABELS[:20]),
    "float labels": table(f"label,{NAMES}", LABELS[:20].astype(float)),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_csv_file_is_read(tmp_path, kind):
    (tmp_path / "x.csv").write_text(TABLES[kind], encoding="utf-8")
    data = load(str(tmp_path / "x.csv"))
    assert np.array_equal(data.pixels[:, 0], PIXELS[:20])
    assert np.array_equal(data.labels, LABELS[:20])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (NAMES + "\n" + "0," * 783 + "0\n", "no column named label"),
        ("", "an empty file"),
        (f"label,{NAMES}\n1,2,3\n", "CSV"),
        (f"label,{NAMES}\n", "at least one image"),
        (table(f"label,{NAMES}", LABELS[:3]).replace(",0,", ",x,", 1), "x"),
    ],
    ids=["no labels", "empty", "short rows", "only a header", "text among the pixels"],
)
def test_a_bad_csv_file_is_refused_in_one_line(tmp_path, content, words):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(VGG7Error, match=words) as refused:
        load(str(tmp_path / "x.csv"))
    assert "\n" not in str(refused.value)


def pictures(folder, names, suffix="png", count=10):
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(PIXELS[number * count + index]).save(folder / name / f"{index}.{suffix}")


@pytest.mark.parametrize(("suffix", "error"), [("png", 0), ("jpg", 60)])
def test_a_folder_of_class_folders_is_read(tmp_path, suffix, error):
    pictures(tmp_path, "012", suffix)
    (tmp_path / "0" / "notes.txt").write_text("no image")
    data = load(str(tmp_path))
    assert np.abs(data.pixels[:, 0].astype(int) - PIXELS[:30]).mean() <= error
    assert np.array_equal(data.labels, np.repeat([0, 1, 2], 10))
    assert "1 file" in " ".join(data.notes)


def test_named_class_folders_are_numbered_in_alphabetical_order_and_a_test_folder_is_the_test(tmp_path):
    pictures(tmp_path / "train", ["cat", "ant", "bee"])
    pictures(tmp_path / "test", ["cat", "bee"], count=2)
    data = load(str(tmp_path))
    assert data.class_names == ("ant", "bee", "cat")
    assert np.array_equal(data.labels, np.repeat([0, 1, 2], 10))
    assert np.array_equal(data.test.labels, [1, 1, 2, 2])
    assert "ant, bee, cat" in " ".join(data.notes)
    apart = load(str(tmp_path / "train"), test=str(tmp_path / "test"))
    assert np.array_equal(apart.test.labels, [1, 1, 2, 2])
    named = load(str(tmp_path / "train"), encoding=Encoding(class_names=("cat", "ant", "bee")))
    assert np.array_equal(named.labels, np.repeat([1, 2, 0], 10))


def test_a_folder_without_classes_or_with_images_of_several_sizes_is_refused(tmp_path):
    with pytest.raises(VGG7Error, match="at least two class folders"):
        load(str(tmp_path))
    pictures(tmp_path, "01")
    Image.fromarray(PIXELS[0, :20, :20]).save(tmp_path / "1" / "z.png")
    with pytest.raises(VGG7Error, match=r"z\.png.*28x28.*20x20"):
        load(str(tmp_path))
    (tmp_path / "1" / "z.png").write_bytes(b"no image")
    with pytest.raises(VGG7Error, match=r"z\.png"):
        load(str(tmp_path))


def test_a_test_set_of_its_own_replaces_the_test_part(tmp_path):
    np.savez(tmp_path / "a.npz", images=PIXELS[:100], labels=LABELS[:100])
    np.savez(tmp_path / "b.npz", images=PIXELS[100:], labels=LABELS[100:])
    parts = split(load(str(tmp_path / "a.npz"), test=str(tmp_path / "b.npz")))
    assert [len(part) for part in parts] == [90, 10, 30]
    assert np.array_equal(parts.test.pixels[:, 0], PIXELS[100:])


def test_options_that_a_data_set_cannot_use_are_refused(tmp_path):
    with pytest.raises(VGG7Error, match="which are fixed"):
        load("digits", encoding=Encoding(pixel_max=16))
    with pytest.raises(VGG7Error, match="mnist"):
        load("digits", data_dir=tmp_path)
