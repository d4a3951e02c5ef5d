"""How well are foreign mistakes judged, and are correct implementations ever accused?

python -m parity_tests.foreign.measure [--seeds 200] [--mistakes-of 0 1 2]
"""

import argparse

import numpy as np

from numpy_vgg7.parity import check
from parity_tests.foreign.trial import MISTAKES, STEPS, STYLES, candidate, case_of, judged


def mistakes(seed):
    """Print the counts for the case of one seed, and what is not as it should be."""
    file = case_of(seed)
    counts = dict.fromkeys(("failed", "placed", "named", "misleading"), 0)
    for style, planted in MISTAKES:
        with np.errstate(all="ignore"):
            verdict = judged(style, planted, file)
        for key in counts:
            counts[key] += getattr(verdict, key)
        if not (verdict.failed and verdict.placed and verdict.named) or verdict.misleading:
            print(f"  {style}, {planted.name}: {verdict.report[:500]}")
    print(f"seed {seed}: {len(MISTAKES)} mistakes, {counts}", flush=True)


def false_alarms(seeds):
    """Print how often a correct implementation fails."""
    alarms = 0
    for seed in range(seeds):
        file = case_of(seed)
        for style in STYLES:
            report = check(file, candidate(style, file, None, STEPS if seed % 10 == 0 else ()), partial=True)
            if not report.passed:
                alarms += 1
                print(f"  seed {seed}, {style}: {report.diagnosis}")
    print(f"{alarms} false alarms in {seeds} seeds and {len(STYLES)} styles")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--mistakes-of", type=int, nargs="*", default=[0])
    options = parser.parse_args()
    for seed in options.mistakes_of:
        mistakes(seed)
    false_alarms(options.seeds)
