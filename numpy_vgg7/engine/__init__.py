"""The engine: how the network is computed fast.

What is computed is defined in `functional.py` and `optim.py`; only the way is different here, and each kernel
is tested against the function that it speeds up. `kernels.Conv2d`, for example, computes what
`functional.conv2d` and `conv2d_backward` define, with the classes of `winograd.py` or `im2col.py`.

A kernel is a layer bound to its arrays; the 3x3 weights of a convolution are called filters. A plan is a list
of kernels. The features are the layers up to `Flatten`, the classifier is the rest. A task is what one thread
takes: a range of the images, in parts (shards) that fit the caches and run one after another.

`executor.py` runs a batch; `plan.py` binds kernels to the arrays of a batch shape; `kernels.py` has one
kernel per layer; `im2col.py`, `winograd.py` and `gemm.py` are what the kernels multiply with; `layout.py` and
`memory.py` say where the numbers lie; `update.py` takes the SGD step; `threads.py` is the thread pool.

One formula's way, the weight gradient of a convolution: `Executor.train_step`, `Plan.backward`,
`Conv2d.backward_params`, `WinogradWeightGradient.__call__`.
"""
