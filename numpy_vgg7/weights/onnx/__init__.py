"""ONNX files, read and written without the package onnx.

`protobuf.py` is the wire format, `messages.py` the part of ONNX's schema that is used. `export.py` makes the
graph of a model, `file.py` reads and writes files. `graph.py` reads the layers of a graph in steps, with
`constants.py` for what is computed from weights and shapes alone.
"""
