"""What makes the network fast: memory layout, blocked products, Winograd's algorithm, threads.

What is computed is defined in `functional.py` and `optim.py`; only the way is different here, and each kernel
is tested against the function that it speeds up. `functional.conv2d`, for example, is `kernels.Conv2d`, which
uses `winograd.Winograd` or `im2col.Im2col`.

`executor.py` runs a batch; `plan.py` binds kernels to the arrays of a batch shape; `kernels.py` has one
kernel per layer; `im2col.py`, `winograd.py` and `gemm.py` are what the kernels multiply with; `layout.py` and
`memory.py` say where the numbers lie; `update.py` takes the SGD step; `threads.py` is the thread pool.
"""
