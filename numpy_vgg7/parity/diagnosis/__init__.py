"""The words about a wrong tensor: which known mistake gives these numbers, and if none does, what is certain.

`context.py` holds what a tensor was computed from, `known.py` collects the mistakes that apply, `factors.py`,
`orders.py`, `traces.py`, `loss.py`, `update.py` and the dictionary of `check_layer` (`layer_mistakes.py`) list
them, and `unknown.py` describes what none of them explains.
"""
