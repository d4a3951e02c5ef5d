"""`VGG7Classifier`: scikit-learn's conventions, and the training of `VGG7.fit`."""

import inspect
import sys
import threading
import warnings
from dataclasses import fields

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.utils.estimator_checks import check_estimator

from numpy_vgg7 import VGG7, VGG7Classifier, VGG7Config
from numpy_vgg7.estimator import SETTINGS, distinct
from numpy_vgg7.training.config import TrainingConfig
from tests.commands import python

# Most trainings here are too short to learn much.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"channels": (8, 8, 16, 16), "hidden": (32, 16), "epochs": 20}
QUICK = SMALL | {"epochs": 2, "random_state": 0}
X, Y = load_digits(return_X_y=True)
X, Y = X[:300], Y[:300]


def quick(**changes):
    return VGG7Classifier(**QUICK | changes)


def same(a, b):
    return all(np.array_equal(a.model_.params[name], b.model_.params[name]) for name in a.model_.params)


# In float32, rows in another order are rounded differently, by more than the tolerance of this check, 1e-9.
ALLOWED = {"float32": {"check_methods_sample_order_invariance"}, "float64": set()}
NEED_MORE = ("pandas is not installed", "SCIPY_ARRAY_API is not set")


@pytest.mark.parametrize("dtype", ALLOWED)
def test_scikit_learns_checks_pass(dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier = VGG7Classifier(dtype=dtype, **SMALL)
        results = check_estimator(classifier, on_fail=None, on_skip=None)
    failed = {row["check_name"]: row["exception"] for row in results if row["status"] == "failed"}
    assert failed.keys() <= ALLOWED[dtype], failed
    passed = [row for row in results if row["status"] == "passed"]
    others = [str(row["exception"]) for row in results if row["status"] == "skipped"]
    assert all(reason.startswith(NEED_MORE) for reason in others), others
    assert len(passed) > 50


def test_cross_validation_on_digits():
    scores = cross_val_score(VGG7Classifier(epochs=12, random_state=0), *load_digits(return_X_y=True), cv=2)
    assert scores.mean() > 0.93, scores  # with five folds and the default settings: more than 0.985


def test_without_weights_it_is_the_training_of_fit():
    classifier = quick(augment=True).fit(X, Y)
    model = VGG7(VGG7Config(8, 10, SMALL["channels"], hidden=SMALL["hidden"]), seed=classifier.model_.seed)
    history = model.fit(X.reshape(-1, 8, 8) / 16, Y, epochs=2, augmentation="strong")
    assert all(np.array_equal(model.params[name], p) for name, p in classifier.model_.params.items())
    assert classifier.loss_curve_ == [row.train_loss for row in history.epochs]
    assert np.array_equal(classifier.predict(X), model.predict(X.reshape(-1, 8, 8) / 16))


def test_the_defaults_are_those_of_the_training_but_for_the_augmentation():
    signature = inspect.signature(VGG7Classifier).parameters
    defaults = {field.name: field.default for field in fields(TrainingConfig)}
    different = {name for name in SETTINGS if signature[name].default != defaults[name]}
    assert different == {"augmentation"}
    assert signature["preset"].default == "vgg7"


# Weights.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_weight_of_two_is_the_row_twice_with_images_augmentation_and_several_batches(dtype):
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    order = np.random.default_rng(1).permutation(len(X))
    repeated = quick(dtype=dtype).fit(X.repeat(weights, axis=0), Y.repeat(weights))
    weighted = quick(dtype=dtype).fit(X[order], Y[order], sample_weight=weights[order])
    assert same(repeated, weighted)
    assert not same(weighted, quick(dtype=dtype).fit(X, Y))


def test_only_the_ratio_of_weights_counts_and_equal_ones_are_none():
    weights = np.random.default_rng(0).integers(1, 4, len(X))
    assert same(quick().fit(X, Y, weights), quick().fit(X, Y, 0.25 * weights))
    assert same(quick().fit(X, Y, np.full(len(X), 7.0)), quick().fit(X, Y))


def test_weights_decide_between_contradicting_labels():
    rows, labels = np.repeat(X[:20], 2, axis=0), np.tile(["no", "yes"], 20)
    classifier = quick(epochs=30).fit(rows, labels, np.tile([1.0, 3.0], 20))
    # The best constant answer has the probability 3/4.
    assert np.abs(classifier.predict_proba(X[:20])[:, 1].mean() - 0.75) < 0.08


def test_zeros_with_a_sign_are_equal_numbers():
    rows, labels, weights = distinct(np.array([[0.0], [-0.0], [1.0]]), np.zeros(3, int), np.ones(3))
    assert sorted(zip(rows.ravel(), labels, weights, strict=True)) == [(0, 0, 2), (1, 0, 1)]


# Inputs.


def test_flat_and_square_images_are_the_same():
    squares = X.reshape(-1, 8, 8)
    first = quick().fit(X, Y)
    for images in (squares, squares[:, None], squares[..., None], squares.tolist()):
        assert same(first, quick().fit(images, Y))
        assert np.array_equal(first.predict(images), first.predict(X))
    assert first.image_shape_ == (8, 8)


def test_the_scale_of_the_pixels_does_not_matter():
    first = quick().fit(X, Y)
    for scaled in (X / 16, X.astype(np.uint8), X.astype(np.float32) * 4096 - 7, X.astype(int)):
        assert np.allclose(first.predict_proba(X), quick().fit(scaled, Y).predict_proba(scaled), atol=1e-3)


def test_a_pixel_range_that_is_given_holds_for_faint_images():
    first, second = quick(pixel_range=(0, 16)).fit(X / 4, Y), quick(pixel_range=(0, 4)).fit(X / 16, Y)
    assert same(first, second)
    assert not same(first, quick().fit(X / 4, Y))


@pytest.mark.parametrize("shape", [(8, 5), (3, 10), (5, 6), (7, 7)], ids=str)
def test_images_that_are_not_square_are_centred_in_a_square(shape):
    images = X.reshape(-1, 8, 8)[:, : shape[0], : shape[1]]
    if images.shape[1:] != shape:
        images = np.pad(images, [(0, 0), *((0, a - b) for a, b in zip(shape, images.shape[1:], strict=True))])
    classifier = quick().fit(images, Y)
    size = classifier.model_.config.image_size
    assert size == {8: 8, 10: 12, 6: 8, 7: 8}[max(shape)]
    rows = images.reshape(len(images), -1)
    assert np.array_equal(quick(image_shape=shape).fit(rows, Y).predict(rows), classifier.predict(images))
    top, left = (size - shape[0]) // 2, (size - shape[1]) // 2
    drawn = classifier._images(rows)[:, 0]
    low, high = classifier.pixel_range_
    inside = (slice(None), slice(top, top + shape[0]), slice(left, left + shape[1]))
    assert np.allclose(drawn[inside], (images - low) / (high - low))
    drawn[inside] = 0
    assert not drawn.any()


def test_features_that_are_no_image_are_not_augmented():
    assert same(quick(augment=True).fit(X[:, :20], Y), quick(augment=False).fit(X[:, :20], Y))
    assert not same(quick(augment=True).fit(X, Y), quick(augment=False).fit(X, Y))
    assert quick().fit(X[:, :20], Y).image_shape_ is None


def test_labels_are_of_any_kind_and_predictions_of_the_same():
    numbers = quick().fit(X, Y)
    for names in (
        np.array([f"digit {label}" for label in range(10)]),
        np.arange(-50, 50, 10),
        np.arange(10.0),
    ):
        classifier = quick().fit(X, names[Y])
        assert np.array_equal(classifier.classes_, names)
        assert np.array_equal(classifier.predict(X), names[numbers.predict(X)])
        assert classifier.score(X, names[Y]) == numbers.score(X, Y)


# Around it.


def test_grid_search_over_both_learning_rates_in_a_pipeline_with_two_jobs():
    pipeline = make_pipeline(MinMaxScaler(), quick(epochs=3))
    grid = {f"vgg7classifier__{name}": np.logspace(-2, -1, 2) for name in ("lr_conv", "lr_fc")}
    search = GridSearchCV(pipeline, grid | {"vgg7classifier__batch_size": np.array([16])}, cv=2, n_jobs=2)
    search.fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    assert search.best_score_ > 0.3


def test_clone_pickle_and_joblib_keep_the_classifier(tmp_path):
    classifier = quick().fit(X, Y)
    assert same(classifier, clone(classifier).fit(X, Y))
    joblib.dump(classifier, tmp_path / "classifier.joblib")
    assert np.array_equal(
        joblib.load(tmp_path / "classifier.joblib").predict_proba(X), classifier.predict_proba(X)
    )


def test_partial_fit_goes_on_after_a_round_trip_through_a_file(tmp_path):
    first = quick().partial_fit(X, Y, classes=range(10))
    joblib.dump(first, tmp_path / "classifier.joblib")
    assert same(first.partial_fit(X, Y), joblib.load(tmp_path / "classifier.joblib").partial_fit(X, Y))


def test_log_probabilities_are_finite_where_probabilities_are_zero():
    classifier = quick(dtype="float64").fit(X, Y)
    assert np.allclose(classifier.predict_log_proba(X), np.log(classifier.predict_proba(X)))
    classifier.model_.params["fc7.weight"] *= 1e5
    assert (classifier.predict_proba(X) == 0).any()
    assert np.isfinite(classifier.predict_log_proba(X)).all()


def test_a_generator_of_random_numbers_gives_another_training_each_time():
    classifier = quick(random_state=np.random.RandomState(3))
    first = classifier.fit(X, Y).model_.seed
    assert first != classifier.fit(X, Y).model_.seed
    assert first == quick(random_state=np.random.RandomState(3)).fit(X, Y).model_.seed


def test_verbose_prints_each_epoch(capsys):
    quick(verbose=True).fit(X, Y)
    assert capsys.readouterr().out.count("train_loss=") == 2
    quick().fit(X, Y)
    assert not capsys.readouterr().out


def test_the_range_of_an_unfitted_model_is_an_error():
    with pytest.raises(NotFittedError):
        quick().predict(X)


# Threads.


def threads_of(backend, n_jobs):
    with joblib.parallel_config(backend=backend):
        return joblib.Parallel(n_jobs=2)(
            joblib.delayed(lambda: quick(epochs=1, n_jobs=n_jobs).fit(X, Y).model_.threads)()
            for _ in range(2)
        )


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_job_of_joblib_has_one_thread(backend):
    assert quick(epochs=1, n_jobs=2).fit(X, Y).model_.threads == 2
    assert threads_of(backend, 2) == [1, 1]


def test_without_n_jobs_no_thread_is_started():
    before = threading.active_count()
    classifier = quick(n_jobs=None).fit(X, Y)
    classifier.predict(X)
    assert threading.active_count() <= before


# partial_fit.


def test_partial_fit_learns_batch_by_batch():
    classifier = quick(augment=False, batch_size=16)
    for _ in range(15):
        for start in range(0, 300, 100):
            classifier.partial_fit(X[start : start + 100], Y[start : start + 100], classes=range(10))
    assert classifier.score(X, Y) > 0.9
    assert classifier.n_iter_ == len(classifier.loss_curve_) == 45
    assert classifier.loss_curve_[-1] < classifier.loss_curve_[0]


def test_partial_fit_is_a_training_with_constant_rates():
    classifier, whole = quick(), quick(schedule="constant").fit(X, Y)
    for _ in range(2):
        classifier.partial_fit(X, Y, classes=range(10))
    assert same(classifier, whole)


def test_partial_fit_continues_from_fit_and_fit_starts_again():
    classifier = quick(epochs=10).fit(X, Y)
    before = classifier.score(X, Y)
    slow = classifier.set_params(lr_conv=1e-5, lr_fc=1e-5).partial_fit(X, Y)
    assert abs(slow.score(X, Y) - before) < 0.05
    assert before > 0.5
    again = classifier.set_params(lr_conv=0.05, lr_fc=0.05).fit(X, Y)
    assert same(again, quick(epochs=10).fit(X, Y))


def test_partial_fit_respects_weights():
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    one = quick().partial_fit(X.repeat(weights, axis=0), Y.repeat(weights), classes=range(10))
    assert same(one, quick().partial_fit(X, Y, range(10), weights))


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_two_hundred_calls_of_partial_fit_take_no_memory():
    code = """
        import numpy as np
        from numpy_vgg7 import VGG7Classifier
        from tests.memory_use import resident
        rng = np.random.default_rng(0)
        classifier = VGG7Classifier(random_state=0)
        for call in range(200):
            size = 20 + call % 30
            classifier.partial_fit(rng.random((size, 8, 8)), rng.integers(10, size=size), classes=range(10))
            if call in (59, 199):
                print(resident())
    """
    done = python("-W", "error", "-c", inspect.cleandoc(code))
    assert done.code == 0, done.stderr
    early, late = map(float, done.stdout.split())
    assert late <= early + 5, f"{early:.0f} MB after 60 calls, {late:.0f} MB after 200"


# Mistakes.

PARAMETERS = [
    ({"epochs": 0}, "The 'epochs' parameter of VGG7Classifier must be a whole number >= 1. Got 0 instead."),
    ({"lr_fc": "high"}, "The 'lr_fc' parameter of VGG7Classifier must be a finite number >= 0. Got high"),
    ({"schedule": "linear"}, "The 'schedule' parameter of VGG7Classifier must be one of constant"),
    ({"preset": "vgg8"}, "The 'preset' parameter of VGG7Classifier must be one of article"),
    ({"channels": (8, 8)}, "The 'channels' parameter of VGG7Classifier must be 4 values"),
    ({"hidden": 32}, "The 'hidden' parameter of VGG7Classifier must be 2 values"),
    ({"dtype": "float16"}, "The 'dtype' parameter of VGG7Classifier must be float32 or float64"),
    ({"image_shape": (8, 9)}, "The 'image_shape' parameter of VGG7Classifier must be a pair"),
    ({"image_shape": 8}, "The 'image_shape' parameter of VGG7Classifier must be a pair"),
    ({"image_shape": (-8, -8)}, "The 'image_shape' parameter of VGG7Classifier must be a pair"),
    ({"pixel_range": (1, 0)}, "The 'pixel_range' parameter of VGG7Classifier must be None or a pair"),
    ({"pixel_range": 255}, "The 'pixel_range' parameter of VGG7Classifier must be None or a pair"),
    ({"random_state": "x"}, "'x' cannot be used to seed"),
]


@pytest.mark.parametrize(("changes", "message"), PARAMETERS, ids=lambda value: str(value)[:30])
def test_an_invalid_parameter_is_reported_by_fit_in_scikit_learns_words(changes, message):
    classifier = quick(**changes)
    with pytest.raises(ValueError, match=r"VGG7Classifier|seed") as error:
        classifier.fit(X, Y)
    assert str(error.value).startswith(message)
    with pytest.raises(ValueError, match=r"VGG7Classifier|seed"):
        classifier.partial_fit(X, Y, classes=range(10))


CALLS = [
    (lambda c: c.fit(X, Y, np.ones(7)), r"sample_weight.shape == \(7,\), expected \(300,\)!"),
    (lambda c: c.fit(X, Y, -np.ones(300)), "Negative values in data passed to `sample_weight`"),
    (lambda c: c.fit(X, Y, np.zeros(300)), "Sample weights must contain at least one non-zero number."),
    (lambda c: c.fit(X, Y, np.full(300, np.nan)), "Input sample_weight contains NaN"),
    (
        lambda c: c.fit(X, np.ones(300)),
        "at least 2 classes in the data, but the data contains only one class",
    ),
    (lambda c: c.fit(X, Y + 0.5), "Unknown label type"),
    (lambda c: c.fit(X[:9], Y), "Found input variables with inconsistent numbers of samples"),
    (lambda c: c.fit(np.zeros((300, 8, 8, 3)), Y), "expected images with one channel"),
    (lambda c: c.partial_fit(X, Y), "classes must be passed on the first call to partial_fit."),
    (lambda c: c.partial_fit(X, Y, classes=range(9)), "`y` has classes not in `self.classes_`."),
    (lambda c: c.fit(X, Y).predict(X[:, :9]), "X has 9 features, but VGG7Classifier is expecting 64"),
    (
        lambda c: c.fit(X, Y).partial_fit(X, Y, classes=[1, 2]),
        "is not the same as on last call to partial_fit",
    ),
    (
        lambda c: c.fit(X.reshape(-1, 4, 16), Y).predict(X.reshape(-1, 8, 8)),
        r"X has images of shape \(8, 8\), but VGG7Classifier is expecting images of shape \(4, 16\).",
    ),
]


@pytest.mark.parametrize(("call", "message"), CALLS, ids=[message[:40] for _, message in CALLS])
def test_a_wrong_call_is_reported_in_scikit_learns_words(call, message):
    with pytest.raises(ValueError, match=message):
        call(quick(epochs=1))


def test_a_training_that_has_not_learned_is_a_convergence_warning():
    with pytest.warns(ConvergenceWarning, match="Nothing was learned"):
        quick(lr_conv=0.0, lr_fc=0.0, epochs=1).fit(X, Y)


def test_a_pipeline_with_set_output_trains_the_same():
    # A classifier has no output to set; the other steps of its pipeline may have one.
    pipeline = make_pipeline(FunctionTransformer(), quick()).set_output(transform="default")
    assert same(pipeline.fit(X, Y)[-1], quick().fit(X, Y))
