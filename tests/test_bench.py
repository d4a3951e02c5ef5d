"""The benchmark measures what it says. No test asserts a time."""

import json
from dataclasses import replace
from functools import partial

import pytest
from rich.console import Console

from numpy_vgg7.bench import children, growth, measure, ours, plots, processor, report, times
from numpy_vgg7.bench.measure import Sample, in_turn
from numpy_vgg7.bench.processor import Processor
from numpy_vgg7.bench.profile import profile
from numpy_vgg7.bench.rows import INFERENCE, ROWS, TRAINING, USUAL
from numpy_vgg7.bench.scaling import Scaling, scale, thread_counts
from numpy_vgg7.bench.times import TORCH, Measurement, Times, Watch, compare
from numpy_vgg7.cli import bench as command
from numpy_vgg7.plots import write_figure
from tests.commands import numpy_vgg7, python
from torch_ref.bench import ready


@pytest.fixture(scope="module")
def found():
    done = numpy_vgg7("bench", "--cases", "article-b1", "--threads", 1, "--json", OPENBLAS_CORETYPE="Haswell")
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


QUIET = {"ours": Sample(2.0, 0.05), "eager": Sample(5.0, 0.1), "jax": Sample(3.0, 0.1)}
NOISY = QUIET | {"eager": Sample(5.0, 0.5)}


def measured(samples=QUIET, peaks=(100e9, 100e9)):
    return Times(USUAL, samples, peaks)


@pytest.mark.parametrize(
    ("found", "disturbed"),
    [
        (measured(), False),
        (measured(peaks=(96e9, 97e9)), False),
        (measured(peaks=(80e9, 100e9)), True),
        (measured(peaks=(100e9, 80e9)), True),
        (measured(NOISY), True),
    ],
    ids=["quiet", "nearly quiet", "slow before", "slow after", "noisy peer"],
)
def test_a_row_is_disturbed_if_sgemm_is_slow_around_it_or_its_times_vary(found, disturbed):
    assert found.disturbed(peak=100e9) == disturbed


def test_a_row_is_judged_by_the_best_peak_of_the_run():
    found = measured(peaks=(60e9, 60e9))
    assert not found.disturbed(peak=60e9)
    assert found.disturbed(peak=100e9), "the whole beginning of the run was disturbed"


@pytest.mark.parametrize(
    ("samples", "readings", "attempts", "peaks"),
    [
        ([QUIET], [100, 99], 1, (100, 99)),
        ([NOISY, QUIET], [100, 99, 98], 2, (99, 98)),
        ([QUIET, QUIET, QUIET], [100, 50, 99, 100], 3, (99, 100)),
        ([NOISY, NOISY, NOISY], [100, 100, 100, 100], 3, (100, 100)),
    ],
    ids=["quiet", "noisy once", "slow between the first two", "always noisy"],
)
def test_a_disturbed_row_is_repeated_up_to_three_times(samples, readings, attempts, peaks, monkeypatch):
    left, sgemm = iter(samples), iter(readings)
    monkeypatch.setattr(times, "sgemm_peak", lambda threads: next(sgemm))
    watch = Watch(threads=2)
    found = watch.undisturbed(lambda: Times(USUAL, next(left)))
    assert found == Times(USUAL, samples[-1], peaks, attempts)
    assert list(left) == list(sgemm) == []
    assert watch.peak == 100


def reported(*rows, scaling=None):
    return report.Report(
        times=list(rows),
        peak=100e9,
        threads=2,
        import_ratio=1.0,
        memory={"ours": 100.0, "torch": None, "jax": 300.0},
        blas={"name": "openblas", "kernel": "Zen", "overridden": None},
        processor=Processor("Z80", 1, {"L1d": None, "L2": 512, "L3": 4096}),
        growth=[],
        scaling=scaling,
    )


def printed(*parts):
    console = Console(width=80, highlight=False)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    return capture.get()


def test_a_disturbed_row_is_marked_in_the_table_and_in_the_json():
    found = reported(measured(), replace(measured(NOISY), row=ROWS[3], attempts=3))
    assert [(row["disturbed"], row["attempts"]) for row in report.as_json(found)["rows"]] == [
        (False, 1),
        (True, 3),
    ]
    assert report.as_json(found)["rows"][1]["spread"] == {"ours": 0.05, "eager": 0.5, "jax": 0.1}
    table = printed(report.as_table(found))
    assert "training vgg7-b64 " in table
    assert "training wide-b64*" in table
    assert report.summary(found)[-1].startswith("* disturbed")
    assert not any("disturbed" in line for line in report.summary(reported(measured())))


def test_jax_stands_beside_pytorch_and_the_best_peer_may_be_either():
    found = reported(measured())
    (row,) = report.as_json(found)["rows"]
    assert row["peers"] == {"eager": 5.0, "channels_last": None, "compile": None, "jax": 3.0}
    assert (row["ratio_eager"], row["ratio_best"]) == (2.5, 1.5)
    assert "ours eager jax eager  best" in printed(report.as_table(found)), "the last two are ratios"
    assert report.as_json(found)["memory"] == {"ours_mb": 100.0, "torch_mb": None, "jax_mb": 300.0}
    assert "memory of a training process: 100 MB, JAX 300 MB" in report.summary(found)


def test_a_table_of_all_peers_fits_into_eighty_columns():
    slow = dict.fromkeys(("ours", *times.PEERS), Sample(123.4, 0.5))
    table = printed(report.as_table(reported(replace(measured(slow), row=ROWS[4]))))
    *_, header, _line, row, _empty = table.splitlines()
    assert header.split() == ["ours", "eager", "last", "compile", "jax", "eager", "best", "SGEMM", "%"]
    assert row.split() == ["inference", "article-b1*", *["123"] * 5, "1.00", "1.00", "0", "50"], table


def test_the_summary_names_the_processor_and_its_caches():
    assert report.summary(reported(measured()))[0] == "Z80, 1 cores, L1d ? KiB, L2 512 KiB, L3 4096 KiB"


def test_linux_tells_name_family_and_model_of_the_first_core(tmp_path):
    core = (
        "processor\t: {0}\ncpu family\t: 25\nmodel\t\t: {0}7\nmodel name\t: AMD EPYC {0}\nflags\t\t: fpu\n\n"
    )
    file = tmp_path / "cpuinfo"
    file.write_text(core.format(1) + core.format(2))
    assert processor.linux_name(file) == "AMD EPYC 1 (family 25, model 17)"
    file.write_text("processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\n\n")
    assert processor.linux_name(file) is None, "an ARM core has no name there"
    assert processor.linux_name(tmp_path / "none") is None


def test_linux_tells_the_caches_of_a_core(tmp_path):
    known = [("1", "Data", "48K"), ("1", "Instruction", "32K"), ("2", "Unified", "2048K")]
    for number, values in enumerate(known):
        folder = tmp_path / f"index{number}"
        folder.mkdir()
        for name, value in zip(("level", "type", "size"), values, strict=True):
            (folder / name).write_text(f"{value}\n")
    (folder := tmp_path / "index3").mkdir()
    (folder / "level").write_text("3\n")  # and no size
    assert processor.linux_caches(tmp_path) == {"L1d": 48, "L2": 2048, "L3": None}


def test_macos_tells_the_caches_of_a_fast_core(monkeypatch):
    known = {"hw.l1dcachesize": "65536", "hw.perflevel0.l1dcachesize": "131072", "hw.l2cachesize": "4194304"}
    monkeypatch.setattr(processor, "sysctl", known.get)
    assert processor.macos_caches() == {"L1d": 128, "L2": 4096, "L3": None}


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


def test_scaling_is_a_table_and_a_list_in_the_json():
    samples = {"1": Sample(4.0, 0.05), "2": Sample(2.5, 0.05)}
    quiet, noisy = Measurement(USUAL, samples, (90e9, 90e9)), Measurement(ROWS[3], samples, (50e9, 90e9), 3)
    found = reported(measured(), scaling=Scaling([1, 2], [quiet, noisy], peak=90e9))
    rows = report.as_json(found)["scaling"]
    assert [(row["case"], row["mode"], row["disturbed"]) for row in rows] == [
        ("vgg7-b64", "training", False),
        ("wide-b64", "training", True),
    ]
    assert rows[0]["ms"] == {"1": 4.0, "2": 2.5}
    table = printed(report.scaling_table(found.scaling))
    assert "2.5 (1.60)" in table
    assert "training wide-b64*" in table
    assert report.summary(found)[-1].startswith("* disturbed")


@pytest.mark.parametrize(("peers", "ran"), [(None, set()), (["none"], set()), (["torch"], set(TORCH))])
def test_the_command_measures_the_chosen_peers_cases_and_threads(peers, ran, monkeypatch, capsys):
    calls = []

    def compared(row, ours, peers, threads):
        calls.append(threads)
        return Times(row, {name: Sample(2.0) for name in ("ours", *peers)})

    monkeypatch.setattr(command, "compare", compared)
    monkeypatch.setattr(
        command,
        "scale",
        lambda row, ours, counts: Measurement(row, {str(n): Sample(6.0 / n) for n in counts}),
    )
    monkeypatch.setattr(command, "cores", lambda: 3)
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
    done = numpy_vgg7("bench", "--profile", "--plot", picture, "--json")
    assert done.code == 0, done.stderr
    assert "conv1 forward" in [stage["name"] for stage in json.loads(done.stdout)["stages"]]
    assert json.loads(done.stdout)["case"] == "vgg7-b64"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_each_chosen_case_is_profiled(tmp_path):
    picture = tmp_path / "profiles.png"
    words = ("--cases", "article-b1", "--cases", "article-b64", "--plot", picture, "--json")
    done = numpy_vgg7("bench", "--profile", *words)
    assert done.code == 0, done.stderr
    found = json.loads(done.stdout)
    assert [profile["case"] for profile in found["profiles"]] == ["article-b1", "article-b64"]
    assert found | found["profiles"][0] == found, "the keys of the first are also at the top"
    assert found["profiles"][0]["stages"] != found["profiles"][1]["stages"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_growth_goes_to_1024_images_and_four_times_the_channels(tmp_path):
    points = [growth.Point(axis, size, Times(row, QUIET)) for axis, size, row in growth.plan()]
    assert [point.size for point in points if point.axis == growth.BATCH_SIZE][-1] == 1024
    assert points[-1].times.row.config.channels == (64, 64, 128, 128)
    write_figure(tmp_path / "growth.png", plots.growth(points))
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
