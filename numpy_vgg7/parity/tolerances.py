"""Every tolerance of the harness. `scripts/tolerances.py` measures what stands in the comments again.

Relative errors are of the largest reference element of a tensor.
"""

# float64, product against PyTorch: 1e-16 to 4e-14 over 500 random networks; the smallest bug of the
# catalogue (a rate times 0.99) is at 1e-5.
LANE64 = 1e-12

# float64 again, each element by its own size where it is not small: up to 4e-11 over 500 networks.
ELEMENT64 = 1e-9
ELEMENT64_FLOOR = 1e-4  # of the largest element; below it, rounding of larger terms decides

# float64, one layer alone on the referee's own input and upstream gradient: up to 2e-15.
LOCAL64 = 1e-13

# Complex step against back propagation, of the largest entry or of the gradient's norm: up to 4e-14.
COMPLEX_STEP = 1e-11
COMPLEX_STEP_SIZE = 1e-30  # the truncation error is of the order of its square
COMPLEX_STEP_ENTRIES = 64
COMPLEX_STEP_DIRECTIONS = 4

# 1,000 steps of SGD, float64, relative to the largest element of a parameter: 1e-14 to 1e-13.
TRAJECTORY64 = 1e-10

# float32: the root mean square error of the product against float64, in units of PyTorch's (or of one
# unit in the last place, where PyTorch's is smaller). The goal at batch 64 is 2 on every tensor (1.97 was
# measured) and 1 on the median (0.9 to 1.1).
# On tensors of a few elements the ratio is luck, up to 3.5 in 60 small networks; arithmetic that is
# carried out badly (half precision on the way) is at 100 and more.
LANE32 = 16.0

# Rounding of a sum of n products a_i b_i: RULE * sqrt(n) * u * sum |a_i b_i| (u = 2^-24 in float32).
SUM_RULE = 6.0
