"""Every tolerance of the harness. `scripts/tolerances.py` repeats the measurements in the comments.

Relative errors are of the largest reference element of a tensor.
"""

# float64, product against PyTorch: 1e-16 to 4e-14 over 500 random networks; the smallest bug of the
# catalogue (a rate times 0.99) is at 1e-5.
LANE64 = 1e-12

# float64 again, each element relative to itself where it is not small: up to 4e-11 over 500 networks.
ELEMENT64 = 1e-9
ELEMENT64_FLOOR = 1e-4  # of the largest element; below it, rounding of larger terms decides

# float64, one layer alone on the reference's input and upstream gradient: up to 2e-15.
LOCAL64 = 1e-13

# Softmax and elementwise functions at extreme inputs: how many ulps (units in the last place) of the result
# they may be off.
ULPS = 4

# Complex step against backpropagation, of the largest entry or of the gradient's norm: up to 4e-14.
COMPLEX_STEP = 1e-11
COMPLEX_STEP_SIZE = 1e-30  # the truncation error is of the order of its square
COMPLEX_STEP_ENTRIES = 64
COMPLEX_STEP_DIRECTIONS = 4

# Many steps of SGD, float64, relative to the largest element of a parameter: 1e-14 to 1e-13 after 1,000,
# 1e-14 in trainings of five epochs, for losses and accuracies as well.
TRAJECTORY64 = 1e-10

# float32: the root mean square error of the engine against float64, divided by PyTorch's (or by one unit
# in the last place if PyTorch's is smaller). The goal at batch 64 is 2 on every tensor (1.97 was
# measured) and 1 on the median (0.9 to 1.1).
# On tensors of a few elements the ratio varies widely, up to 3.5 in 60 small networks; arithmetic that is
# carried out badly (with intermediate results in half precision) is at 100 and more.
LANE32 = 16.0

# float32, a session of calls (shards, threads, training) by the engine and by the definition, in a network
# without ReLU, which rounding could flip: over 60 networks up to 6e-6 of the largest element, and 3e-3 of
# each element that is not small. Sums in half precision are at 1e-3 of the largest.
ENGINE32 = 1e-4
ELEMENT32 = 0.1

# float32, values of the forward pass against ONNX Runtime's: up to 2e-6 with the presets.
FORWARD32 = 1e-5

# float32, each kernel alone: n roundings add up to CONFIDENCE * sqrt(n) * u at most, see bounds.py. If they
# are independent, a sum exceeds this with a probability of at most 4e-8. In 400 random networks and trained
# ones, up to 0.999 of a bound was used, in sums of few terms, where it is sharp; the median is a few percent.
# Sums in half precision use 50 times the bound and more.
CONFIDENCE = 6.0
