"""Errors a user can cause, each told in one line: what, expected, found, what to do."""


class VGG7Error(Exception):
    """Bad input. The command line prints it as one line and exits with code 3."""

    def __init__(self, what: str, *, expected: str, found: str, fix: str) -> None:
        line = f"{what}: expected {expected}, found {found}; {fix}"
        super().__init__(" ".join(line.split()))
        self.what, self.expected, self.found, self.fix = what, expected, found, fix


class ConfigError(VGG7Error):
    """A configuration that describes no VGG7."""


class DataError(VGG7Error):
    """Images or labels that the network cannot take."""


class WeightsError(VGG7Error):
    """A weights file, or a set of tensors, that is not the model it should be."""


class OutputError(VGG7Error):
    """A place that cannot be written to, or must not be overwritten."""


class MissingDependencyError(VGG7Error):
    """An optional package that the command needs is not installed."""


class CaseError(VGG7Error):
    """A parity case, or a candidate for one, that cannot be judged."""


class TrainingError(VGG7Error):
    """Training that cannot start, or that left the finite numbers."""


class BenchError(VGG7Error):
    """A measurement that could not be taken."""
