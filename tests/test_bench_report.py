"""What the benchmark says of its measurements: which were disturbed, and on which processor they ran."""

from dataclasses import replace
from unittest.mock import ANY

import pytest
from rich.console import Console

from numpy_vgg7.bench import processor, report, times
from numpy_vgg7.bench.measure import Sample
from numpy_vgg7.bench.processor import Processor
from numpy_vgg7.bench.rows import ROWS, USUAL
from numpy_vgg7.bench.scaling import Scaling
from numpy_vgg7.bench.times import Measurement, Times, Watch

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
    assert "vgg7-b64 " in table
    assert "wide-b64*" in table
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
    slow = dict.fromkeys(("ours", *times.PEERS), Sample(0.01234, 0.5))
    table = printed(report.as_table(reported(replace(measured(slow), row=ROWS[1]))))
    *_, header, _line, _mode, row, _empty = table.splitlines()
    assert header.split() == ["ours", "eager", "last", "compile", "jax", "eager", "best", "SGEMM", "%"]
    assert row.split() == ["article-b64*", *["0.0123"] * 5, "1.00", "1.00", ANY, "50"], table


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
