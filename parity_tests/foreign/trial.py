"""Plant a mistake in an implementation, and judge what the check says about it."""

from dataclasses import dataclass
from fnmatch import fnmatch
from types import MethodType

from numpy_vgg7 import VGG7Config
from numpy_vgg7.parity import check
from numpy_vgg7.parity.case import random_case, random_model
from numpy_vgg7.parity.case_file import CaseFile
from numpy_vgg7.parity.second import second_case
from parity_tests.foreign import (
    functions_mistakes,
    functions_variants,
    loop_mistakes,
    loop_variants,
)
from parity_tests.foreign.functions import Functions
from parity_tests.foreign.loop import Loop
from torch_ref.trace import trace as reference

CONFIG = VGG7Config(image_size=8, classes=7, channels=(3, 4, 4, 5), hidden=(6, 6))
BATCH = 6
STEPS = (1, 10)
SILENT = "no known mistake"
FACTS = ("is zero everywhere", "is not finite in")
MISTAKES = [
    *(("loop", m) for m in loop_mistakes.MISTAKES + loop_variants.MISTAKES),
    *(("functions", m) for m in functions_mistakes.MISTAKES + functions_variants.MISTAKES),
]
DIFFERENTIATED = functions_mistakes.DIFFERENTIATED | functions_variants.DIFFERENTIATED


def case_of(seed, config=CONFIG, batch=BATCH):
    """A case as `parity case` writes it, with the second batch."""
    case = random_case(random_model(config, seed), batch, seed)
    second = second_case(case, seed)
    return CaseFile(case, reference(case), CaseFile(second, reference(second)), seed)


def by_loop(case, planted=None, steps=()):
    rates = case.sgd.lr_conv, case.sgd.lr_fc
    network = Loop(case.model.params, case.images, case.labels, rates, case.model.config.classes)
    for function, replacement in (planted.replaced if planted else {}).items():
        assert hasattr(Loop, function), function
        setattr(network, function, MethodType(replacement, network))
    return network.trace(steps)


def by_functions(case, planted=None, steps=()):
    replaced = planted.replaced if planted else {}
    differentiated = DIFFERENTIATED.get(planted.name, ()) if planted else ()
    rates = case.sgd.lr_conv, case.sgd.lr_fc
    network = Functions(case.model.params, case.images, case.labels, rates, replaced, differentiated)
    return network.trace(steps)


STYLES = {"loop": by_loop, "functions": by_functions}


def candidate(style, file, planted=None, steps=()):
    """Both batches of a case by an implementation; updates of the first one only."""
    return {
        prefix + name: tensor
        for prefix, part in file.parts.items()
        for name, tensor in STYLES[style](part.case, planted, () if prefix else steps).items()
    }


@dataclass(frozen=True)
class Judged:
    """What the check said about one mistake."""

    failed: bool
    placed: bool  # the first place that is named is right
    named: bool  # its words name the mistake
    misleading: bool  # something else is named
    report: str


def judged(style, planted, file):
    """Judge a mistake by the words about it: those of the first place, and those of any other place."""
    found = candidate(style, file, planted, STEPS if planted.steps else ())
    report = check(file, found, partial=True)
    first = report.culprits[0] if report.culprits else None
    words = [c.diagnosis for c in report.culprits]
    placed = first is not None and fnmatch(first.place, planted.place)
    named = any(name in text for name in planted.names for text in words)
    misleading = any(_says(text) and not any(name in text for name in planted.names) for text in words)
    return Judged(not report.passed, placed, named, misleading, f"{report.culprit}: " + "; ".join(words))


def _says(text):
    """Whether words name a cause: a number alone, zeros, or where elements are wrong, is none."""
    without_cause = SILENT in text or (":" not in text and any(fact in text for fact in FACTS))
    return not without_cause and not text.endswith(("times what it should be", "times the right step"))
