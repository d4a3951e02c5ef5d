"""What `check_layer` found, to be read or asserted."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """A mistake: `place` is "forward", "backward" or "forward and backward", `tensors` what is wrong.

    `named` says whether `words` name a mistake of the dictionary; otherwise they say what is certain.
    """

    place: str
    tensors: tuple[str, ...]
    words: str
    named: bool

    def __str__(self) -> str:
        where = f"{self.place}, {' and '.join(self.tensors)}" if self.tensors else self.place
        return f"{where}: {self.words}"


@dataclass(frozen=True)
class LayerReport:
    """What `check_layer` found; `str(report)` is to be read."""

    like: str | None
    dtype: str
    calls: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    cause: Exception | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether there is no finding."""
        return not self.findings

    def __str__(self) -> str:
        against = f"like {self.like}" if self.like else "the derivative of its own forward pass"
        count = len(self.findings)
        head = "PASS" if self.ok else f"FAIL: {count} finding{'s' if count > 1 else ''}"
        lines = [f"{head} ({against}, {self.dtype}, {self.calls} calls)"]
        lines += [f"  {finding}" for finding in self.findings]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def assert_ok(self) -> None:
        """Raise AssertionError with the whole report if there is a finding."""
        if self.findings:
            raise AssertionError(str(self)) from self.cause
