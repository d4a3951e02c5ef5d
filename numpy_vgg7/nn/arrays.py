"""The array types of every signature here.

Real arrays are float32 or float64 throughout a model; the forward pass also takes complex128, for the
complex-step check of its gradients.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Labels = NDArray[np.integer[Any]]
Arrays = dict[str, Array]
