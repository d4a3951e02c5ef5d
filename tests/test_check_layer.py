"""`check_layer` fails each mistake in a single layer, names it rightly, and passes correct layers."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from numpy_vgg7 import functional as F
from numpy_vgg7.errors import LayerError
from numpy_vgg7.parity import check_layer
from numpy_vgg7.parity.layer.mistakes import mistakes
from numpy_vgg7.parity.layer.trials import LIKES, trial_of, trials
from numpy_vgg7.parity.layer.truth import definition, tolerances
from tests.commands import python
from tests.layer_mistakes import EXAMPLES
from tests.layer_styles import STYLES


def check(style, *replacements, dtype="float64", seed=0, like="its own"):
    """The report on a style of `STYLES`, with parts of its source replaced."""
    x, params = STYLES[style].arrays(seed, dtype)
    like = STYLES[style].like if like == "its own" else like
    return check_layer(*STYLES[style].layer(*replacements), x, params, like=like, seed=seed)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.style}: {e.words}")
def test_a_mistake_is_found_and_named_once(example):
    report = check(example.style, *example.replacements)
    assert len(report.findings) == 1, report
    assert example.words in str(report.findings[0])


# In float32 the smallest mistakes are below the rounding errors.
VISIBLE32 = [
    e for e in EXAMPLES if "1e-12" not in e.words and "1e-07" not in e.words and "dtype" not in e.words
]


@pytest.mark.parametrize("example", VISIBLE32[::4], ids=lambda e: f"{e.style}: {e.words}")
def test_a_mistake_is_named_in_float32_too(example):
    if "float32" in str(example.replacements):
        return
    report = check(example.style, *example.replacements, dtype="float32")
    assert len(report.findings) == 1, report
    assert example.words in str(report.findings[0])
    assert "rounding" in str(report)


def rows():
    tensors = {"conv2d": ("out", "x", "weight", "bias"), "linear": ("out", "x", "weight", "bias")}
    for like in LIKES:
        for tensor in tensors.get(like, ("out", "x")):
            for number, row in enumerate(mistakes(like, tensor)):
                yield pytest.param(like, tensor, row, id=f"{like} {tensor} {number}")


def arguments(like):
    """Arrays for a layer like `like`; where the channels are equal, the shapes cannot help."""
    rng = np.random.default_rng(5)
    if like == "softmax_cross_entropy":
        return rng.standard_normal((4, 5)), {"labels": rng.integers(0, 5, 4)}
    if like == "conv2d":
        return rng.standard_normal((2, 3, 5, 4)), {"w": rng.standard_normal((3, 3, 3, 3)), "b": np.ones(3)}
    if like == "linear":
        return rng.standard_normal((5, 5)), {"w": rng.standard_normal((5, 5)), "b": np.ones(5)}
    return rng.standard_normal((3, 2, 4, 6)), {}


@pytest.mark.parametrize(("like", "tensor", "row"), list(rows()))
def test_a_layer_that_computes_an_entry_of_the_dictionary_is_named_by_it(like, tensor, row):
    x, params = arguments(like)
    right = trial_of(like, x, params)

    def wrong(trial):
        if row.direction is None:
            return np.array(row.formula(trial), dtype=float)
        return row.formula(trial) + 0.3 * row.direction(trial)

    def trial(x, *values):
        return replace(right, x=x, params=dict(zip(params, values, strict=True)))

    def forward(*values):
        given = trial(*values)
        shaped = replace(given, d_out=np.zeros(F_SHAPE[like](given)))
        with np.errstate(all="ignore"):
            return (wrong(shaped) if tensor == "out" else definition(shaped)["out"]), values

    def backward(d_out, cache):
        given = replace(trial(*cache), d_out=d_out)
        gradients = definition(given)
        if tensor != "out":
            with np.errstate(all="ignore"):
                gradients[tensor] = wrong(given)
        return tuple(gradients[name] for name in ("x", "weight", "bias") if name in gradients)[
            : 1 + 2 * bool(params) * (like != "softmax_cross_entropy")
        ]

    report = check_layer(forward, backward, x, params, like=like)
    assert any(row.words.format(c="0.3") in finding.words and finding.named for finding in report.findings), (
        report
    )


F_SHAPE = {
    "conv2d": lambda t: (t.n, len(t.w), *t.x.shape[2:]),
    "linear": lambda t: (t.n, len(t.w)),
    "avg_pool2d": lambda t: (*t.x.shape[:2], t.x.shape[2] // 2, t.x.shape[3] // 2),
    "softmax_cross_entropy": lambda t: (),
    **dict.fromkeys(("relu", "tanh", "arctan"), lambda t: t.x.shape),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("style", STYLES)
def test_a_correct_layer_passes(style, dtype):
    for seed in range(8):
        report = check(style, dtype=dtype, seed=seed)
        assert report.ok, report
        report.assert_ok()


@pytest.mark.parametrize("style", STYLES)
def test_a_correct_layer_passes_without_a_definition(style):
    for dtype in ("float64", "float32"):
        report = check(style, dtype=dtype, like=None)
        assert report.ok, report


def test_arguments_may_have_any_memory_order_and_integers_are_taken_as_float64():
    x, params = STYLES["conv loop"].arrays(0)
    strided = np.repeat(x, 2, axis=3)[..., ::2]
    assert not strided.flags.c_contiguous
    assert check_layer(*STYLES["conv loop"].layer(), strided, params, like="conv2d").ok
    report = check_layer(*STYLES["relu"].layer(), np.arange(-6, 6).reshape(3, 4), like="relu")
    assert report.ok
    assert report.dtype == "float64"


def test_the_functions_of_the_definition_pass_as_they_are():
    rng = np.random.default_rng(0)
    x, kernel, bias = rng.standard_normal((2, 4, 4, 6)), rng.standard_normal((6, 2, 3, 3)), np.ones(6)

    def grouped(x, weight, bias):
        return F.conv2d(x, weight, bias, groups=2)

    def grouped_backward(x, weight, d_out):
        return F.conv2d_backward(x, weight, d_out, groups=2)

    check_layer(grouped, grouped_backward, x, {"w": kernel, "b": bias}, like="conv2d").assert_ok()
    rows, weight = rng.standard_normal((3, 4)), rng.standard_normal((6, 4))
    check_layer(
        F.linear, F.linear_backward, rows, {"weight": weight, "bias": bias}, like="linear"
    ).assert_ok()
    check_layer(F.avg_pool2d, F.avg_pool2d_backward, x, like="avg_pool2d").assert_ok()
    for name in ("relu", "tanh", "arctan"):
        backward = getattr(F, f"{name}_backward")
        check_layer(getattr(F, name), backward, x, like=name).assert_ok()


def test_an_object_that_keeps_its_cache_can_be_checked():
    class Tanh:
        def forward(self, x):
            self.out = np.tanh(x)
            return self.out

        def backward(self, d_out):
            return d_out * (1 - self.out**2)

    layer = Tanh()
    check_layer(layer.forward, layer.backward, np.ones((3, 4)), like="tanh").assert_ok()


def test_arguments_are_recognized_by_name_in_any_order():
    def backward(grad_output, x):
        return grad_output * (x > 0)

    check_layer(lambda x: np.maximum(x, 0), backward, np.ones((3, 4)), like="relu").assert_ok()


def test_the_report_is_an_assertion_error_in_words():
    report = check("pool reshape", ("/ 4", ""))
    with pytest.raises(AssertionError, match="backward, d_x: the factor 1/4 is missing"):
        report.assert_ok()
    assert str(report).startswith("FAIL: 1 finding (like avg_pool2d, float64,")
    assert str(check("pool reshape")).startswith("PASS (like avg_pool2d, float64,")


def test_an_exception_of_the_layer_is_a_finding_and_the_cause_of_the_assertion_error():
    report = check("linear", ("d_out.T @ x", "d_out @ x.T @ np.ones(3)"))
    (finding,) = report.findings
    assert finding.place == "backward"
    assert "raises ValueError" in finding.words
    with pytest.raises(AssertionError) as caught:
        report.assert_ok()
    assert isinstance(caught.value.__cause__, ValueError)


UNKNOWN = [
    # What no entry of the dictionary explains, and what is certain about it.
    ("relu", ("d_out * (x > 0)", "d_out * (x > 0) * np.where(x > 3, 0.9, 1)"), "only where x is positive"),
    ("relu", ("d_out * (x > 0)", "d_out * (x > 0) + 0.3 * (x == 0)"), "only where x is exactly 0"),
    ("conv taps", ("turned)", "turned); d_x[:, :, 0] *= 2"), "only in the first row of the image"),
    ("linear", ("d_w = d_out.T @ x", "d_w = d_out.T @ x; d_w[-1] *= 3"), "only in the last entry of axis 0"),
    (
        "loss probs",
        ("return d / len(y)", "d[np.arange(len(y)), y] *= 1.5; return d / len(y)"),
        "only at the label",
    ),
    ("tanh", ("d_out * (1 - cache ** 2)", "d_out * (1 - cache ** 4 / 3)"), "differs in"),
    ("loss probs", (".mean(), p", ".mean() ** 2, p"), "instead of"),
    ("linear", ("d_out.sum(axis=0)", "d_out.sum(axis=0)[:-1]"), "has shape"),
    ("arctan", ("np.arctan(x), x", "np.where(x > 5, np.nan, np.arctan(x)), x"), "is not finite in"),
]


@pytest.mark.parametrize(("style", "replacement", "words"), UNKNOWN, ids=lambda value: str(value)[:40])
def test_where_nothing_fits_the_report_says_what_is_certain_and_names_nothing(style, replacement, words):
    report = check(style, replacement)
    (finding,) = report.findings
    assert words in finding.words
    assert not finding.named


def test_what_follows_from_a_wrong_forward_pass_is_not_a_second_mistake():
    leaky = ("np.maximum(x, 0)", "np.where(x > 0, x, 0.1 * x)"), ("(x > 0)", "np.where(x > 0, 1, 0.1)")
    report = check("relu", leaky[0], ("d_out * (x > 0)", "d_out * np.where(x > 0, 1, 0.1)"))
    (finding,) = report.findings
    assert finding.place == "forward"
    assert "derivative of this forward pass" in str(report)
    report = check("tanh", ("out = np.tanh(x)", "out = 1.1 * np.tanh(x)"))
    (finding,) = report.findings
    assert finding.place == "forward"
    assert "follows from the output of this forward pass" in str(report)


def test_two_mistakes_are_two_findings():
    report = check("conv loop", ("dout.sum(axis=(0, 2, 3))", "dout.mean(axis=(0, 2, 3))"), (" + b[o]", ""))
    assert [finding.place for finding in report.findings] == ["forward", "backward"]


OWN = [
    ("tanh", ("1 - cache ** 2", "1 + cache ** 2"), "d_x: differs in"),
    ("tanh", ("d_out * (1 - cache ** 2)", "d_out + 0"), "slope is missing"),
    ("linear", ("d_out.T @ x", "-d_out.T @ x"), "d_w: the sign is wrong"),
    ("linear", ("d_out.sum(axis=0)", "d_out.mean(axis=0)"), "d_b: divided by the batch size N"),
    ("linear", ("d_out @ w", "np.ones_like(d_out) @ w"), "d_x: the upstream gradient is not multiplied"),
    (
        "conv taps",
        ("d_x = correlate(d_out, turned)", "d_x = 0.5 * correlate(d_out, turned)"),
        "d_x: 0.5 times",
    ),
    ("pool reshape", ("/ 4", ""), "d_x: 4 times"),
    ("loss log", ("- onehot) / len(y)", "- onehot)"), "the factor 1/N is missing"),
    ("linear", ("d_w = d_out.T @ x", "d_w = 0 * w"), "d_w: zero everywhere"),
]


@pytest.mark.parametrize(("style", "replacement", "words"), OWN, ids=lambda value: str(value)[:40])
def test_without_a_definition_the_backward_pass_is_held_against_the_forward_pass(style, replacement, words):
    report = check(style, replacement, like=None)
    (finding,) = report.findings
    assert words in str(finding)


def test_a_forward_pass_that_cannot_take_complex_numbers_is_differentiated_by_differences():
    def forward(x):
        return np.hypot(x, 1.0)  # it raises for complex numbers

    def magnitude(x):
        return np.sqrt(np.abs(x) ** 2 + 1)  # it takes them, but is not analytic

    def backward(x, d_out):
        return d_out * x / np.hypot(x, 1.0)

    x = np.random.default_rng(0).standard_normal((3, 4))
    for function in (forward, magnitude):
        report = check_layer(function, backward, x)
        assert report.ok, report
        assert "central differences" in str(report)
        assert not check_layer(function, lambda x, d_out: 1.001 * backward(x, d_out), x).ok


def test_a_kink_is_not_a_mistake_without_a_definition():
    x = np.zeros((3, 4))
    check_layer(lambda x: np.maximum(x, 0), lambda x, d_out: d_out * (x > 0), x).assert_ok()


def test_chance_and_memory_are_mistakes():
    rng = np.random.default_rng(0)
    report = check_layer(lambda x: x * (rng.random(x.shape) > 0.5), lambda x, d_out: d_out, np.ones((3, 4)))
    assert "depends on earlier calls or on chance" in str(report)
    counted = []

    def backward(x, d_out):
        counted.append(0)
        return d_out * (x > 0) * len(counted)

    report = check_layer(lambda x: np.maximum(x, 0), backward, np.ones((3, 4)), like="relu")
    assert "accumulates" in str(report)


def test_a_result_in_memory_that_is_used_again_is_a_mistake():
    kept = np.zeros((3, 4))

    def forward(x):
        out = kept if x.shape == kept.shape else np.zeros_like(x)
        np.maximum(x, 0, out=out)
        return out

    report = check_layer(forward, lambda x, d_out: d_out * (x > 0), np.ones((3, 4)), like="relu")
    (finding,) = report.findings
    assert "overwritten by the next call" in finding.words


def test_differences_just_inside_of_the_tolerance_pass_and_just_outside_fail():
    for dtype in ("float64", "float32"):
        x, _ = STYLES["arctan"].arrays(0, dtype)
        given = trial_of("arctan", x.astype("float64"), {})
        for factor, passes in ((0.8, True), (1.3, False)):

            def forward(x, given=given, factor=factor, dtype=dtype):
                trial = replace(given, x=x.astype("float64"), d_out=np.ones(x.shape))
                error = factor * tolerances(trial, np.dtype(dtype))["out"]
                return (np.arctan(x.astype("float64")) + error), x

            report = check_layer(forward, lambda d_out, cache: d_out / (1 + cache**2), x, like="arctan")
            assert report.ok == passes, (dtype, factor)


def test_the_smallest_probability_does_not_make_a_correct_loss_fail():
    report = check("loss one-hot", ("np.log(p + (labels == 0))", "np.log(p)"))
    assert report.ok, report
    assert "underflows" in str(report)


BAD = [
    ("conv2d", np.ones((2, 3, 4, 4)), {"w": np.ones((4, 2, 3, 3))}, "groups"),
    ("conv2d", np.ones((2, 3, 4, 4)), {"w": np.ones((4, 3, 5, 5))}, "3, 3"),
    ("conv2d", np.ones((2, 3, 4, 4)), {}, "a weight"),
    ("linear", np.ones((2, 3)), {"w": np.ones((4, 5))}, "a weight"),
    ("linear", np.ones((2, 3)), {"w": np.ones((4, 3)), "b": np.ones(3)}, "a bias"),
    ("avg_pool2d", np.ones((2, 3, 5, 4)), {}, "even"),
    ("relu", np.ones((2, 3)), {"w": np.ones(3)}, "no parameters"),
    ("softmax_cross_entropy", np.ones((2, 3)), {"labels": np.array([1, 3])}, "0..K-1"),
    ("softmax_cross_entropy", np.ones((2, 3)), {}, "labels"),
    ("dropout", np.ones((2, 3)), {}, "one of"),
    ("relu", np.array([1.0, np.nan]), {}, "finite"),
    ("relu", np.array(["a"]), {}, "numbers"),
    ("relu", np.ones((2, 3), dtype="float16"), {}, "float32 or float64"),
]


@pytest.mark.parametrize(("like", "x", "params", "words"), BAD, ids=lambda value: str(value)[:20])
def test_arguments_that_do_not_fit_are_refused_in_one_line(like, x, params, words):
    with pytest.raises(LayerError, match=words) as caught:
        check_layer(lambda *values: values[0], lambda *values: values[0], x, params, like=like)
    assert "\n" not in str(caught.value)


def test_a_backward_pass_with_unknown_arguments_is_refused():
    with pytest.raises(LayerError, match=r"expected arguments \(x, d_out\)"):
        check_layer(np.tanh, lambda alpha, beta, gamma: alpha, np.ones(3), like="tanh")


def test_importing_it_loads_numpy_and_the_standard_library_only():
    code = (
        "import sys; before = set(sys.modules); from numpy_vgg7.parity import check_layer;"
        "print(*(name for name in set(sys.modules) - before if getattr(sys.modules[name], '__file__', '')))"
    )
    result = python("-c", code)
    assert result.code == 0, result.stderr
    packages = {name.split(".")[0] for name in result.stdout.split()}
    assert packages <= set(sys.stdlib_module_names) | {"numpy", "numpy_vgg7"}


def test_every_number_given_to_a_float32_layer_is_one_of_float32():
    x, params = STYLES["linear"].arrays(0, "float32")
    given = trial_of("linear", x.astype("float64"), {k: v.astype("float64") for k, v in params.items()})
    for trial in trials(given, np.dtype("float32"), 0):
        for array in (trial.x, trial.d_out, *trial.params.values()):
            assert np.array_equal(array.astype("float32").astype("float64"), array)
