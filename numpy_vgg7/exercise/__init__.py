"""Exercises: a small network with one planted mistake, and the check whether it is mended.

`write.py` writes an exercise from `template` and one of the `mistakes.py`. `verdict.py` is the check, and
`examine.py` what runs in a process of its own, since it executes the learner's code.
"""

from numpy_vgg7.exercise.verdict import Verdict, check
from numpy_vgg7.exercise.write import new

__all__ = ["Verdict", "check", "new"]
