"""Rules of the data border and of the formats, one by one."""

import gzip
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from numpy_vgg7 import VGG7Error
from numpy_vgg7.data import Encoding, from_arrays, load, mnist
from numpy_vgg7.data.idx import read_idx
from numpy_vgg7.inputs import as_images, as_labels
from tests.t10k import idx
from tests.test_data_border import LABELS, UNIT
from tests.test_data_formats import IMAGES, NAMES, PIXELS, pictures, table, write
from tests.test_data_formats import LABELS as MANY


def test_rows_with_several_ones_are_no_one_hot_labels():
    with pytest.raises(VGG7Error, match="one-hot"):
        as_labels(np.triu(np.ones((3, 3))), 3, 3)


def test_labels_from_counts_also_where_the_number_of_classes_is_known():
    assert np.array_equal(as_labels(LABELS + 1, 12, 3, encoding=Encoding(labels_from=1)), LABELS)


def test_classes_that_contradict_the_model_are_refused():
    with pytest.raises(VGG7Error, match="--classes 10, or none"):
        as_labels(LABELS, 12, 10, encoding=Encoding(classes=3))


def test_a_label_too_large_for_an_integer_is_refused():
    with pytest.raises(VGG7Error, match=r"1e\+300 at index 1"):
        as_labels(np.where(np.arange(12) == 1, 1e300, 0.0), 12, 3)


def test_a_normalisation_that_leads_above_white_is_refused():
    with pytest.raises(VGG7Error, match="by which they were normalised"):
        as_images((UNIT * 300 - 10) / 5, 8, "float64", encoding=Encoding(mean=10, std=5))


def test_rows_of_few_numbers_are_no_images():
    with pytest.raises(VGG7Error, match="shape"):
        as_images(np.zeros((5, 9)), None, "float32")


def test_a_single_class_is_refused():
    with pytest.raises(VGG7Error, match="--classes 2"):
        from_arrays("d", UNIT, 0 * LABELS)


def test_rounding_above_white_is_clipped():
    assert as_images(UNIT * (1 + 5e-6), 8, "float64").max() == 1


def test_a_test_part_of_another_dtype_is_refused():
    with pytest.raises(VGG7Error, match="in the same way"):
        from_arrays("d", UNIT, LABELS, test=((UNIT * 255).astype(np.uint8), LABELS))


def test_the_width_of_one_hot_rows_is_the_number_of_classes():
    assert from_arrays("d", UNIT, np.eye(5)[LABELS]).classes == 5


def test_a_class_that_only_the_test_part_has_is_refused():
    with pytest.raises(VGG7Error, match=r"test part.*label 3 at index 3"):
        from_arrays("d", UNIT, LABELS, test=(UNIT, np.arange(12) % 4))


def test_a_bright_border_is_only_remarked_where_invert_may_help():
    assert not from_arrays("d", UNIT, LABELS, encoding=Encoding(invert=True)).notes
    top = np.zeros_like(UNIT)
    top[:, 0] = 1
    assert not from_arrays("d", top, LABELS).notes


@pytest.mark.parametrize("x", ["{}_images {}_labels", "X_{} y_{}", "x_{} y_{}"])
def test_the_usual_names_of_parts_in_npz_files_are_known(x, tmp_path):
    names = [name.format(part) for part in ("train", "test") for name in x.split()]
    np.savez(tmp_path / "x.npz", **dict(zip(names, (UNIT, LABELS, UNIT[:6], LABELS[:6]), strict=True)))
    data = load(str(tmp_path / "x.npz"))
    assert (len(data), len(data.test)) == (12, 6)


CSV = {
    "Label": table(f"Label,{NAMES}", MANY[:20]),
    "a byte order mark, no header": "\ufeff" + table("", MANY[:20]),
    "spaces": table(f"label,{NAMES}", [f" n{label} " for label in MANY[:20]]),
}


@pytest.mark.parametrize("kind", CSV)
def test_a_csv_file_of_another_style_is_read(kind, tmp_path):
    (tmp_path / "x.csv").write_text(CSV[kind], encoding="utf-8")
    names = tuple(f"n{number}" for number in range(10)) if kind == "spaces" else ()
    data = load(str(tmp_path / "x.csv"), encoding=Encoding(class_names=names))
    assert np.array_equal(data.labels, MANY[:20])
    assert np.array_equal(data.pixels[:, 0], PIXELS[:20])


def test_fractional_pixels_of_a_csv_file_stay_fractional(tmp_path):
    np.savetxt(tmp_path / "x.csv", np.column_stack([LABELS, UNIT.reshape(12, 64)]), delimiter=",")
    assert np.allclose(load(str(tmp_path / "x.csv")).images[:, 0], UNIT, atol=1e-6)


def test_a_gzipped_file_with_too_little_data_is_refused(tmp_path):
    (write(tmp_path) / IMAGES).write_bytes(gzip.compress(idx(PIXELS[:100])[:-900]))
    with pytest.raises(VGG7Error, match="found 77500"):
        load("mnist", data_dir=tmp_path)


def test_a_small_file_of_black_images_is_read(tmp_path):
    (tmp_path / "x").write_bytes(gzip.compress(idx(np.zeros((1000, 28, 28)))))
    assert not read_idx(tmp_path / "x", 3).any()


@pytest.mark.parametrize("suffix", ["PNG", "jpeg", "JPG"])
def test_suffixes_of_images_in_a_folder(suffix, tmp_path):
    pictures(tmp_path, "012", suffix)
    assert len(load(str(tmp_path))) == 30


def test_hidden_files_and_folders_are_left_out_silently(tmp_path):
    pictures(tmp_path, "012")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "0" / "._0.png").write_bytes(b"no image")
    data = load(str(tmp_path))
    assert (len(data), data.classes) == (30, 3)
    assert "left out" not in " ".join(data.notes)


def test_16_bit_images_in_a_folder_are_rounded(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(PIXELS[0].astype(np.uint16) * 257 - (PIXELS[0] > 0)).save(tmp_path / name / "0.png")
    assert np.array_equal(load(str(tmp_path)).pixels[0, 0], PIXELS[0])


def test_fewer_named_folders_than_the_model_has_classes_need_all_names(tmp_path):
    pictures(tmp_path, ["ant", "bee"])
    with pytest.raises(VGG7Error, match="--classes NAME"):
        load(str(tmp_path), classes=3)


def test_training_and_testing_are_names_of_parts_too(tmp_path):
    pictures(tmp_path / "training", "01")
    pictures(tmp_path / "testing", "01", count=2)
    data = load(str(tmp_path))
    assert (len(data), len(data.test)) == (20, 4)


def test_an_interrupted_download_is_taken_up_again(tmp_path, monkeypatch):
    images, labels = np.tile(PIXELS[:70].reshape(70, 784), (1000, 1)), np.tile(MANY[:70], 1000)
    monkeypatch.setattr(
        "sklearn.datasets.fetch_openml", lambda name, **options: SimpleNamespace(data=images, target=labels)
    )
    for complete in range(4):
        folder = tmp_path / str(complete)
        left = iter([None] * complete)

        def write(path, array, left=left, write_idx=mnist.write_idx):
            next(left)
            write_idx(path, array)

        with monkeypatch.context() as patch:
            patch.setattr(mnist, "write_idx", write)
            with pytest.raises(StopIteration):
                load("mnist", data_dir=folder, download=True)
        assert len(load("mnist", data_dir=folder, download=True)) == 60_000


def test_a_download_of_another_shape_is_refused(tmp_path, monkeypatch):
    answer = SimpleNamespace(data=np.zeros((10, 784)), target=np.zeros(10))
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda name, **options: answer)
    with pytest.raises(VGG7Error, match=r"found shape \(10, 784\)"):
        load("mnist", data_dir=tmp_path, download=True)
    assert not list(tmp_path.iterdir())


def test_a_collection_that_openml_does_not_have_is_not_downloaded(tmp_path):
    with pytest.raises(VGG7Error, match="mnist or fashion-mnist"):
        load("emnist-letters", data_dir=tmp_path, download=True)
