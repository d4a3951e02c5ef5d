"""The mathematics of the network, in NumPy alone.

Read `network.py` first: it is the list. Then a layer a file, forward above backward.
"""
