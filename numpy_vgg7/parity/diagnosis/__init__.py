"""The words about a wrong tensor: which known mistake gives these numbers, and if none does, what is certain.

`context.py` holds what a tensor was computed from, and `known.py` collects the mistakes that apply. They are
listed in the dictionary of `check_layer` (`layer/mistakes.py`), `factors.py`, `orders.py`, `traces.py`,
`loss.py`, `update.py` and `trajectory.py`. `unknown.py` describes what none of them explains.
"""
