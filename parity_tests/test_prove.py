"""The harness catches every bug of the catalogue, finds the right place, and reports nothing else."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from numpy_vgg7 import VGG7Config
from numpy_vgg7.engine import kernels
from numpy_vgg7.parity.case import random_case, random_model
from numpy_vgg7.parity.checks import Suite
from numpy_vgg7.parity.mutants import CATALOGUE, NETWORK, TRAINING, Replacement
from numpy_vgg7.parity.prove import control, examine, needed, prove
from tests.commands import numpy_vgg7
from torch_ref.trace import trace as referee
from torch_ref.training import train_batches


@pytest.fixture(scope="module")
def verdicts():
    return {verdict.mutant.name: verdict for verdict in prove((referee, train_batches), enough=2)}


@pytest.mark.parametrize("mutant", CATALOGUE, ids=lambda mutant: mutant.name)
def test_a_bug_is_caught_and_located(verdicts, mutant):
    verdict = verdicts[mutant.name]
    assert verdict.caught, "no check noticed it"
    assert verdict.blamed_right, f"located at {verdict.culprit}, expected {mutant.place}"


def test_the_catalogue_is_complete_and_names_are_unique():
    assert len(NETWORK) >= 110
    assert len(TRAINING) >= 40
    assert len({mutant.name for mutant in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize(
    "kind",
    [
        "last shard left out",
        "gradients of all shards but the first twice",
        "gradients averaged over shards",
        "shards of a trace out of order",
        "batches of inference out of order",
        "two tasks share a buffer",
        "calls from two threads do not take turns",
        "no schedule where there are threads",
        "weight decay ignored for linear layers without momentum",
        "transformed filters of an earlier step",
        "inference with the filters of its first call",
        "parameters of an earlier call",
        "gradients scaled in place by the optimiser",
        "returned gradients overwritten by the next batch",
        "ReLU turns NaN into 0",
        "ReLU flushes subnormal numbers to 0",
        "ReLU turns infinity into the largest number",
        "tanh cut off at 8",
        "arctan cut off at 10",
        "probabilities of a float32 network in float64",
        "velocity not transposed with its weight",
        "rows of a product that do not fill a block left out",
        "rows of a step that do not fill a block left out",
    ],
)
def test_the_catalogue_has_bugs_of_what_runs_the_kernels_and_of_extreme_values(kind):
    assert f"{kind} (engine)" in {mutant.name for mutant in CATALOGUE}


def test_each_kind_of_check_catches_a_bug_that_no_other_does(verdicts):
    missed = needed(list(verdicts.values()))
    assert all(missed.values()), missed


def test_the_readme_says_what_gets_through_without_each_check(verdicts):
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    count = len(CATALOGUE)
    words = f"{count} known bugs into the definition, the engine and the training, one at a time: all {count}"
    assert words in readme
    rows = re.findall(r"^\| ([^|]*) \| (\d+) \| ([^|]*) \|$", readme.split("| without |")[1], re.MULTILINE)
    missed = needed(list(verdicts.values()))
    for kind, names in missed.items():
        (row,) = [row for row in rows if row[0].startswith(kind)]
        assert (kind, int(row[1])) == (kind, len(names))
        assert row[2] in names


def test_the_two_silent_faults_of_the_articles_corrected_gradient_are_named(verdicts):
    verdict = verdicts["the article's corrected gradient (1/4 and rotation)"]
    assert "exactly 4 times what it should be: the factor 1/4 of the average pool is missing" in (
        verdict.culprit.diagnosis
    )
    assert "rotated by 180 degrees in space" in verdict.culprit.diagnosis


def test_the_unchanged_product_passes():
    assert [failure for failures in control((referee, train_batches), 20) for failure in failures] == []


@pytest.mark.parametrize("mutant", CATALOGUE, ids=lambda mutant: mutant.name)
def test_a_mutant_leaves_no_trace_in_the_product(mutant):
    before = [replacement.current() for replacement in mutant.replacements]

    def interrupted():
        with mutant.applied():
            for replacement, original in zip(mutant.replacements, before, strict=True):
                assert replacement.current() is not original, f"{replacement.name} is not replaced"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for replacement, original in zip(mutant.replacements, before, strict=True):
        assert replacement.current() is original, f"{replacement.name} is still replaced"


def test_the_product_passes_after_all_mutants(verdicts):
    found = examine(Suite(0, referee, train_batches))
    assert not any(found.values()), found


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (kernels.AvgPool2d, "no_such_method"),
        (kernels.ReLU, "bind_backward"),
        (kernels.KERNELS, "no such key"),
    ],
    ids=["missing", "inherited", "not in the table"],
)
def test_a_replacement_of_something_that_is_not_there_fails(owner, name):
    replacement = Replacement(owner, name, lambda original: None)
    with pytest.raises(LookupError, match=name), replacement.applied():
        pytest.fail("the replacement was applied")


def test_the_command_proves_one_bug_by_name():
    done = numpy_vgg7("parity", "prove", "--only", "pool omits", "--json")
    assert done.code == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["total"] == record["caught"] == record["blamed_right"] == 1
    assert (record["control_passed"], record["control_failures"]) == (True, [])
    assert record["mutants"][0]["blamed"] == "pool4 backward"
    assert record["mutants"][0].keys() == {
        "name",
        "caught",
        "caught_by",
        "blamed",
        "expected",
        "diagnosis",
    }
    assert numpy_vgg7("parity", "prove", "--only", "no such bug").code == 2


@pytest.mark.parametrize(
    ("name", "factor"), [("pool omits 1/(k*k) (the article's)", 16), ("dW times 1.05 (engine)", 1.05)]
)
def test_a_bug_acts_on_a_model_that_has_run_before_and_leaves_it_afterwards(name, factor):
    case = random_case(random_model(VGG7Config.preset("vgg7", image_size=8), 0), 1, 0)
    (mutant,) = (mutant for mutant in CATALOGUE if mutant.name == name)

    def gradient():
        return case.model.loss_and_gradients(case.images, case.labels)[1]["conv2.weight"]

    before = gradient()
    with mutant.applied():
        assert np.allclose(gradient(), factor * before, rtol=1e-12), "the bug does not act"
    assert np.array_equal(gradient(), before), "the bug is still there"
