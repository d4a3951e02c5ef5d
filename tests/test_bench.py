"""The benchmark measures what it says. No test asserts a time."""

import json
from functools import partial

import pytest

from numpy_vgg7.bench import children, growth, measure, ours, plots, processor, scaling, times
from numpy_vgg7.bench.measure import Sample, in_turn
from numpy_vgg7.bench.profile import profile
from numpy_vgg7.bench.rows import INFERENCE, ROWS, TRAINING, USUAL
from numpy_vgg7.bench.scaling import scale, thread_counts
from numpy_vgg7.bench.times import TORCH, Measurement, Times, compare
from numpy_vgg7.cli import bench as command
from numpy_vgg7.plots import write_figure
from tests.commands import QUICK_BENCH, numpy_vgg7, python
from torch_ref.bench import ready


@pytest.fixture(scope="module")
def found():
    words = ("--cases", "article-b1", "--threads", 1, "--json")
    done = python("-W", "error", *QUICK_BENCH, *words, OPENBLAS_CORETYPE="Haswell")
    assert done.code == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_the_json_has_a_row_for_each_mode_of_the_case(found):
    assert [(row["case"], row["mode"]) for row in found["rows"]] == [
        ("article-b1", "training"),
        ("article-b1", "inference"),
    ]
    for row in found["rows"]:
        assert row["ours_ms"] > 0
        assert 0 < row["peak_fraction"] < 1


def test_without_a_peer_its_figures_are_null(found):
    for row in found["rows"]:
        assert row["peers"] == {"eager": None, "channels_last": None, "compile": None, "jax": None}
        assert row["ratio_eager"] is None
        assert row["ratio_best"] is None
    assert found["memory"]["torch_mb"] is None
    assert found["memory"]["jax_mb"] is None
    assert found["growth"] == []
    assert found["scaling"] == []


def test_the_json_says_how_each_row_was_measured(found):
    for row in found["rows"]:
        assert row["attempts"] in (1, 2, 3)
        assert (
            row["attempts"] == 3 or not row["disturbed"] or max(row["sgemm_gflops"]) < found["sgemm_gflops"]
        )
        assert row["spread"].keys() == {"ours"}
        assert len(row["sgemm_gflops"]) == 2
        assert 0 < max(row["sgemm_gflops"]) <= found["sgemm_gflops"]


def test_the_processor_is_named(found):
    assert found["processor"]["name"]
    assert found["processor"]["cores"] >= 1
    assert found["processor"]["caches_kib"].keys() == {"L1d", "L2", "L3"}


def test_import_and_memory_are_measured_in_processes_of_their_own(found):
    assert found["import_ratio"] >= 0.9  # VGG7 needs NumPy, so less would measure something else
    assert 20 < found["memory"]["ours_mb"] < 2000


def test_threads_and_a_forced_kernel_are_reported(found):
    assert found["blas"].keys() == {"name", "kernel", "threads", "overridden"}
    assert found["blas"]["threads"] == 1
    assert found["blas"]["overridden"] is True


@pytest.mark.parametrize("names", ["nine", "article-b1,nine", ""])
def test_an_unknown_case_is_one_line(names):
    done = numpy_vgg7("bench", "--cases", names)
    assert done.code == 3
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "article-b1, article-b64, vgg7-b64, wide-b64" in done.stderr


@pytest.mark.parametrize("names", ["abacus", "torch,abacus", "", "torch jax"])
def test_an_unknown_peer_is_a_usage_error(names):
    done = numpy_vgg7("bench", "--peer", names)
    assert done.code == 2
    assert "none, torch, jax" in done.stderr


@pytest.mark.parametrize("option", [["--peer", "torch"], ["--scaling"]])
def test_a_profile_has_no_peers_and_one_thread(option):
    assert numpy_vgg7("bench", "--profile", *option).code == 2


@pytest.mark.parametrize(
    ("argument", "package"),
    [
        ("--peer=torch", "torch"),
        ("--peer=jax", "jax"),
        ("--peer=torch,jax", "jax"),
        ("--plot=x.png", "matplotlib"),
    ],
)
def test_a_missing_package_is_one_line(argument, package):
    hide = f"import sys; sys.modules[{package!r}] = None; import numpy_vgg7.plots as plots\n"
    hide += "plots.available = lambda: False\n"
    words = ["numpy-vgg7", "bench", "--cases", "article-b1", argument]
    code = f"{hide}sys.argv = {words}\nfrom numpy_vgg7.cli import main\nmain()"
    done = python("-c", code)
    assert done.code == 3, done
    assert done.stderr.count("\n") == 1
    assert package in done.stderr.lower().replace("pytorch", "torch")


def test_the_arithmetic_of_a_row_is_that_of_its_products():
    training, inference = (
        next(row for row in ROWS if row.mode == mode and row.case == "vgg7-b64")
        for mode in (TRAINING, INFERENCE)
    )
    conv1, others = 16 * 9 * 28**2, (16 * 16 * 9 * 28**2 + (16 * 32 + 32 * 32) * 9 * 14**2)
    linear = 32 * 7**2 * 256 + 256 * 128 + 128 * 10
    assert inference.flops == 2 * 64 * (conv1 + others + linear)
    assert training.flops == 2 * 64 * (2 * conv1 + 3 * (others + linear))


def test_contenders_take_turns_and_the_median_counts():
    calls = []
    seconds = {"a": iter([9, 9, 1, 5, 3]), "b": iter([0, 0, 2, 2, 2])}

    def clock(name):
        calls.append(name)
        return next(seconds[name])

    samples = in_turn({name: partial(clock, name) for name in "ab"}, rounds=3)
    assert samples == {"a": [1, 5, 3], "b": [2, 2, 2]}
    assert "".join(calls) == "ababababab"
    assert Sample.of(samples["a"]) == Sample(median=3, spread=2 / 3)  # quartiles 2 and 4
    assert Sample.of(samples["b"]) == Sample(median=2, spread=0)


def test_peers_are_pytorch_in_three_forms(monkeypatch):
    monkeypatch.setattr(measure, "WARM_UP", 0)
    monkeypatch.setenv("PATH", "")
    peers = {form: partial(ready, form=form) for form in TORCH}
    found = compare(ROWS[0], ours.ready, peers, threads=1, rounds=1)
    assert found.peers.keys() == {"eager", "channels_last"}, "compiled without a compiler"
    assert found.ratio_best <= found.ratio_eager


@pytest.mark.parametrize(
    ("cores", "counts"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8]), (12, [1, 2, 4, 8, 12])]
)
def test_scaling_doubles_the_threads_up_to_all_cores(cores, counts):
    assert thread_counts(cores) == counts


def test_scaling_measures_a_row_with_each_number_of_threads():
    taken = scale(ROWS[0], ours.ready, [1, 2], rounds=1)
    assert taken.row == ROWS[0]
    assert taken.samples.keys() == {"1", "2"}
    assert all(sample.median > 0 for sample in taken.samples.values())


@pytest.mark.parametrize(("peers", "ran"), [(None, set()), (["none"], set()), (["torch"], set(TORCH))])
def test_the_command_measures_the_chosen_peers_cases_and_threads(peers, ran, monkeypatch, capsys):
    calls = []

    def compared(row, ours, peers, threads):
        calls.append(threads)
        return Times(row, {name: Sample(2.0) for name in ("ours", *peers)})

    monkeypatch.setattr(times, "compare", compared)
    monkeypatch.setattr(
        scaling,
        "scale",
        lambda row, ours, counts: Measurement(row, {str(n): Sample(6.0 / n) for n in counts}),
    )
    monkeypatch.setattr(processor, "cores", lambda: 3)
    monkeypatch.setattr(times, "sgemm_peak", lambda threads: 1e9 * threads)
    monkeypatch.setattr(children, "import_ratio", lambda: 1.0)
    monkeypatch.setattr(children, "training_memory", lambda module, threads: float(len(module)))
    command.bench(peer=peers, cases=["vgg7-b64,wide-b64"], threads=5, scaling=True, as_json=True)
    found = json.loads(capsys.readouterr().out)
    cases = [
        ("vgg7-b64", "training"),
        ("wide-b64", "training"),
        ("vgg7-b64", "inference"),
        ("wide-b64", "inference"),
    ]
    assert [(row["case"], row["mode"]) for row in found["rows"]] == cases
    assert [(row["case"], row["mode"]) for row in found["scaling"]] == cases
    assert calls == [5] * 4
    assert {name for name, ms in found["rows"][0]["peers"].items() if ms} == ran
    assert found["memory"]["torch_mb"] == (len("torch_ref.bench") if ran else None)
    assert found["sgemm_gflops"] == 5.0
    assert found["scaling"][0]["ms"] == {"1": 6.0, "2": 3.0, "3": 2.0}
    assert found["scaling"][0]["sgemm_gflops"] == [3.0, 3.0]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_contender_of_scaling_gets_its_number_of_threads(threads, monkeypatch):
    seen = []
    monkeypatch.setattr(ours, "VGG7", lambda config, threads: seen.append(threads))
    with ours.ready(ROWS[4], threads):
        assert seen == [threads]


@pytest.mark.parametrize("row", [ROWS[0], ROWS[4]], ids=["training", "inference"])
@pytest.mark.parametrize("form", TORCH)
def test_every_form_of_the_peer_takes_the_steps_of_a_row(form, row, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with ready(row, 1, form=form) as turn:
        assert (turn is None) == (form == "compile")
        if turn:
            turn()


def test_the_memory_of_a_pytorch_training_is_measured():
    assert children.training_memory("torch_ref.bench", 1) > 50


def test_the_profile_names_every_stage_of_a_step():
    stages = {(stage.layer, stage.work) for stage in profile(rounds=1)}
    layers = [layer.name for layer in USUAL.config.layers()]
    weighted = [name for name in layers if name.startswith(("conv", "fc"))]
    expected = {(name, "forward") for name in [*layers, "loss"]}
    expected |= {(name, "d_x") for name in [*layers[1:], "loss"]}
    expected |= {(name, work) for name in weighted for work in ("gradients", "update")}
    assert stages == expected


def test_the_profile_is_drawn_and_printed(tmp_path):
    picture = tmp_path / "profile.png"
    done = python("-W", "error", *QUICK_BENCH, "--profile", "--plot", picture, "--json")
    assert done.code == 0, done.stderr
    assert "conv1 forward" in [stage["name"] for stage in json.loads(done.stdout)["stages"]]
    assert json.loads(done.stdout)["case"] == "vgg7-b64"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_each_chosen_case_is_profiled(tmp_path):
    picture = tmp_path / "profiles.png"
    words = ("--cases", "article-b1", "--cases", "article-b64", "--plot", picture, "--json")
    done = python("-W", "error", *QUICK_BENCH, "--profile", *words)
    assert done.code == 0, done.stderr
    found = json.loads(done.stdout)
    assert [profile["case"] for profile in found["profiles"]] == ["article-b1", "article-b64"]
    assert found | found["profiles"][0] == found, "the keys of the first are also at the top"
    assert found["profiles"][0]["stages"] != found["profiles"][1]["stages"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_growth_goes_to_1024_images_and_four_times_the_channels(tmp_path):
    points = [
        growth.Point(axis, size, Times(row, {"ours": Sample(2.0), "eager": Sample(3.0)}))
        for axis, size, row in growth.plan()
    ]
    assert [point.size for point in points if point.axis == growth.BATCH_SIZE][-1] == 1024
    assert points[-1].times.row.config.channels == (64, 64, 128, 128)
    write_figure(tmp_path / "growth.png", plots.growth(points))
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
