"""Is the hand-written backpropagation right? Compares named arrays; depends on no framework.

`case.py` defines what all implementations are given, `compare.py` how their traces are compared, `checks.py`
the kinds of checks, `localise.py` and `kernel_alone.py` how a fault is located, and `mutants` the known bugs.
"""
