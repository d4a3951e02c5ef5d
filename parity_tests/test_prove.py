"""The harness catches every bug of the catalogue, blames the right place, and nothing else."""

import json

import numpy as np
import pytest

from numpy_vgg7 import VGG7Config
from numpy_vgg7.network import AvgPool2d
from numpy_vgg7.parity.case import random_case, random_model
from numpy_vgg7.parity.checks import Suite
from numpy_vgg7.parity.mutants import CATALOGUE, Patch
from numpy_vgg7.parity.prove import control, examine, needed, prove
from tests.commands import numpy_vgg7
from torch_ref.trace import trace as referee


@pytest.fixture(scope="module")
def verdicts():
    return {verdict.mutant.name: verdict for verdict in prove(referee)}


@pytest.mark.parametrize("mutant", CATALOGUE, ids=lambda mutant: mutant.name)
def test_a_bug_is_caught_and_blamed(verdicts, mutant):
    verdict = verdicts[mutant.name]
    assert verdict.caught
    assert verdict.blamed_right, f"blamed {verdict.culprit}, expected {mutant.place}"


def test_the_catalogue_is_complete_and_names_are_unique():
    assert len(CATALOGUE) >= 60
    assert len({mutant.name for mutant in CATALOGUE}) == len(CATALOGUE)


def test_each_kind_of_check_catches_a_bug_that_no_other_does(verdicts):
    missed = needed(list(verdicts.values()))
    assert all(missed.values()), missed


def test_the_two_silent_faults_of_the_articles_corrected_gradient_are_named(verdicts):
    verdict = verdicts["the article's corrected gradient (1/4 and rotation)"]
    assert "exactly 4 times what it should be: the factor 1/4 of the average pool is missing" in (
        verdict.culprit.diagnosis
    )
    assert "rotated by 180 degrees in space" in verdict.culprit.diagnosis


def test_the_unchanged_product_passes():
    assert [failure for failures in control(referee, 20) for failure in failures] == []


def test_a_mutant_leaves_no_trace_in_the_product():
    before = AvgPool2d.backward.__code__
    for mutant in CATALOGUE:
        with mutant.applied():
            pass
    assert AvgPool2d.backward.__code__ is before
    assert not any(examine(Suite(1, referee)).values())


@pytest.mark.parametrize("text", ["no such text", "d_out"])
def test_an_edit_that_fits_nowhere_or_twice_fails_loudly(text):
    patch = Patch("numpy_vgg7.nn.linear:Linear.backward", ((text, "x"),))
    with pytest.raises(LookupError, match="not 1"), patch.applied():
        pytest.fail("the edit was applied")


def test_the_command_proves_one_bug_by_name():
    done = numpy_vgg7("parity", "prove", "--only", "pool omits", "--json")
    assert done.code == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["total"] == record["caught"] == record["blamed_right"] == 1
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


def test_a_bug_acts_on_a_model_that_has_run_before_and_leaves_it_afterwards():
    case = random_case(random_model(VGG7Config.preset("vgg7", image_size=8), 0), 1, 0)
    found = [case.model.loss_and_gradients(case.images, case.labels)[1]["conv2.weight"]]
    (mutant,) = (mutant for mutant in CATALOGUE if mutant.name == "pool omits 1/(k*k) (the article's)")
    with mutant.applied():
        found.append(case.model.loss_and_gradients(case.images, case.labels)[1]["conv2.weight"])
    found.append(case.model.loss_and_gradients(case.images, case.labels)[1]["conv2.weight"])
    assert np.allclose(found[1], 16 * found[0], rtol=1e-12)
    assert np.array_equal(found[2], found[0])
