"""How fast it is: ours and its peers in turn, where the time goes, memory, imports.

`rows.py` says what is measured, `measure.py` how, and `times.py` whether something else disturbed it.
Peers come in as functions: nothing here knows PyTorch or JAX.
"""
