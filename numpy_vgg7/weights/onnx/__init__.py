"""ONNX files, read and written by the package onnx.

`messages.py` is the part of ONNX's schema that is used, `proto.py` converts it to and from the package's own
messages. `export.py` makes the graph of a model, `file.py` reads and writes files. `graph.py` reads the
layers of a graph step by step, `constants.py` what is computed from weights and shapes alone.
"""
