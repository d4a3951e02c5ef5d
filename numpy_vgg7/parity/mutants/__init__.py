"""The catalogue of bugs: small replacements in the product, each with the place where it should be found."""

from numpy_vgg7.parity.mutants.backward import BACKWARD
from numpy_vgg7.parity.mutants.engine import ENGINE
from numpy_vgg7.parity.mutants.forward import FORWARD
from numpy_vgg7.parity.mutants.interchange import INTERCHANGE
from numpy_vgg7.parity.mutants.mutant import Mutant, Replacement
from numpy_vgg7.parity.mutants.running import RUNNING
from numpy_vgg7.parity.mutants.training import TRAINING
from numpy_vgg7.parity.mutants.update import UPDATE

NETWORK: tuple[Mutant, ...] = (*FORWARD, *BACKWARD, *ENGINE, *RUNNING, *UPDATE, *INTERCHANGE)
CATALOGUE: tuple[Mutant, ...] = (*NETWORK, *TRAINING)

__all__ = ["CATALOGUE", "NETWORK", "TRAINING", "Mutant", "Replacement"]
