"""Parity: is the hand-written back propagation right? Compares named arrays; knows no framework.

`case.py` what both implementations are given, `compare.py` how their traces are judged, `report.py`
how the judgement is shown.
"""
