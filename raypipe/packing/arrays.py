"""The array types of packing: integers for amounts, floats for what solvers see, booleans for masks."""

import numpy as np
from numpy.typing import NDArray

type Ints = NDArray[np.int64]
type Floats = NDArray[np.float64]
type Bools = NDArray[np.bool_]
