"""The network as an ONNX graph, run by other programs: references for the forward pass."""

from onnx_ref.programs import PROGRAMS

__all__ = ["PROGRAMS"]
