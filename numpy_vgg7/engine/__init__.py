"""What makes the network fast: memory layout, blocked products, Winograd's algorithm, threads.

No formula stands here that `functional.py` does not have, and each kernel is tested against the function that
it speeds up. `executor.py` runs a batch; `plan.py` binds kernels to the arrays of a batch shape; `kernels.py`
has one kernel per layer; `im2col.py`, `winograd.py` and `gemm.py` are what the kernels multiply with;
`layout.py` and `memory.py` say where the numbers lie; `update.py` takes the SGD step; `threads.py` is the
thread pool.
"""
