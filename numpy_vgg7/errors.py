"""Errors that a user can cause. Each is one line: what, what was expected, what was found, what to do."""


class VGG7Error(Exception):
    """Bad input. The command line prints it as one line and exits with code 3.

    The message reads "{what}: expected {expected}, found {found}; {fix}"; `found` may be any object.
    """

    def __init__(self, what: str, expected: str, found: object, fix: str) -> None:
        line = f"{what}: expected {expected}, found {found}; {fix}"
        super().__init__(" ".join(line.split()))
        self.what, self.expected, self.found, self.fix = what, expected, str(found), fix


class ConfigError(VGG7Error):
    """An invalid configuration of a network or of a training."""


class DataError(VGG7Error):
    """Images or labels that the network cannot take."""


class WeightsError(VGG7Error):
    """Weights that are damaged, incomplete or do not fit the configuration."""


class OutputError(VGG7Error):
    """A path that cannot be written to, or that must not be overwritten."""


class MissingDependencyError(VGG7Error):
    """An optional package that the command needs is not installed."""


class CaseError(VGG7Error):
    """A parity case, or a candidate for one, that cannot be compared."""


class LayerError(VGG7Error):
    """A layer that `check_layer` cannot examine: its arguments, or the way that it is called."""


class CodeError(VGG7Error):
    """Python code of a user that cannot be executed, or that lacks something: an exercise, or checks."""


class TrainingError(VGG7Error):
    """A training that cannot start, or whose loss is no longer finite."""


class BenchError(VGG7Error):
    """A measurement that could not be taken."""
