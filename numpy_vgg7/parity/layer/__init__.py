"""`check_layer`: one hand-written layer, examined with NumPy alone.

`check.py` runs the trials of `trials.py` on the functions that `call.py` knows how to call, and compares them
with `truth.py`; `words.py` looks for an explanation among the formulas of `mistakes*.py`; `report.py` is what
the caller gets.
`update.py` does the same for a step of SGD.
"""
