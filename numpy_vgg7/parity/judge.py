"""The verdict on a candidate: `parity check`, and `check` from Python."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from numpy_vgg7.config import DTYPES
from numpy_vgg7.errors import CaseError
from numpy_vgg7.parity.candidate import as_tensors, read_names, renamed, require_own, suggestion
from numpy_vgg7.parity.case_file import CaseFile, Tensors, read_case
from numpy_vgg7.parity.compare import Comparison, TensorResult
from numpy_vgg7.parity.judge_batch import Batch
from numpy_vgg7.parity.localise import Culprit
from numpy_vgg7.parity.orders import FILE
from numpy_vgg7.parity.run import Report
from numpy_vgg7.parity.second import PREFIX as SECOND
from numpy_vgg7.suggestions import instead

MAJORITY = 0.5


def check(
    case: CaseFile | str | Path,
    tensors: Mapping[str, Any],
    partial: bool = False,
    dtype: str | None = None,
    names: Mapping[str, str] | str | Path | None = None,
    title: str = "your tensors, compared with the trace in the case",
) -> Report:
    """Judge the tensors of another implementation by a case that `numpy-vgg7 parity case` wrote.

    `tensors` are NumPy arrays or PyTorch tensors by the names of a trace ("conv1", "act3.grad"), those of the
    second batch with "second/" before. Every tensor of the trace is demanded but those that the case itself
    gives; where `partial` is true, only those that are there are judged. The second batch is demanded as soon
    as any tensor of it is there.

    float64 is compared with the reference. float32 is judged by rounding bounds, each tensor given those that
    it was computed from. `dtype` is by default that of most tensors. `names` maps other names to those of the
    trace; it may be the path of a TOML file.

    The report has `passed`, `culprit`, `diagnosis`, and `assert_ok()` for tests. Raises CaseError where
    nothing can be judged.
    """
    file = case if isinstance(case, CaseFile) else read_case(Path(case))
    found = as_tensors(tensors)
    known = [prefix + name for prefix, part in file.parts.items() for name in part.reference]
    if names is not None:
        names = names if isinstance(names, Mapping) else read_names(Path(names))
        found = renamed(found, names, known)
    # numpy.ascontiguousarray makes an array of one element of a scalar.
    found |= {n: found[n].reshape(()) for n in ("loss", f"{SECOND}loss") if n in found and found[n].size == 1}
    require_own(found, file)
    dtype = dtype or _dtype(found)
    if dtype not in DTYPES:
        raise CaseError("dtype", " or ".join(DTYPES), dtype, instead(dtype, DTYPES))
    results: list[TensorResult] = []
    culprits: list[Culprit] = []
    shares: dict[str, float] = {}
    notes = [_about(dtype, found)]
    for prefix, part in file.parts.items():
        own = {n.removeprefix(prefix): t for n, t in found.items() if n.startswith(SECOND) == bool(prefix)}
        if prefix and not own:
            notes.append(
                "not judged: the second batch, with exact zeros before ReLU and logits of +-1000; run your "
                'code on second/input with the parameters second/... and write the tensors as "second/..."'
            )
            continue
        batch = _judged(part, own, dtype == "float32", partial)
        results += [replace(result, name=prefix + result.name) for result in batch.results]
        seen = {(culprit.place, culprit.tensor) for culprit in culprits}  # each fault once
        culprits += [_in_batch(c, prefix) for c in batch.culprits if (c.place, c.tensor) not in seen]
        shares |= {prefix + name: share for name, share in batch.shares.items()}
        notes += [prefix + note for note in batch.notes]
    results += _unexpected(found, file, known)
    return Report(
        title,
        Comparison(tuple(results)),
        tuple(culprits),
        bounds=shares,
        notes=tuple(notes),
        seed=file.seed,
        dtype=dtype,
    )


def _judged(part: CaseFile, tensors: Tensors, float32: bool, partial: bool) -> Batch:
    batch = Batch(part, tensors, float32, partial)
    with np.errstate(all="ignore"):  # what overflows is judged, not warned of
        batch.judge()
        if batch.doubts and any(
            order.place == FILE and not order.doubtful for order in batch.orders.values()
        ):
            # A file that is scrambled in one place is so in others, where a mistake would look the same.
            batch = Batch(part, tensors, float32, partial, scrambled=True)
            batch.judge()
    return batch


def _dtype(tensors: Tensors) -> str:
    narrow = sum(tensor.dtype == np.float32 for tensor in tensors.values())
    return "float32" if narrow > MAJORITY * len(tensors) else "float64"


def _about(dtype: str, tensors: Tensors) -> str:
    count = sum(tensor.dtype == dtype for tensor in tensors.values())
    how = {
        "float64": "each tensor is compared with the reference",
        "float32": "rounding bounds, each tensor given those that it was computed from; float64 sees more",
    }[dtype]
    return f"judged in {dtype}, the dtype of {count} of {len(tensors)} tensors: {how}"


def _in_batch(culprit: Culprit, prefix: str) -> Culprit:
    tensor = prefix + culprit.tensor
    return replace(culprit, tensor=tensor, diagnosis=prefix + culprit.diagnosis)


def _unexpected(tensors: Tensors, file: CaseFile, known: list[str]) -> list[TensorResult]:
    """Tensors that no trace has. Labels may be written back, but are no part of one."""
    expected = {*known, *(prefix + "labels" for prefix in file.parts)}
    missing = [name for name in known if name not in tensors]
    results = []
    for name in tensors:
        if name not in expected:
            close = suggestion(name, missing) or suggestion(name, known)
            note = "unexpected: the reference has no such tensor"
            note += f"; did you mean {close}?" if close else ""
            results.append(TensorResult(name, "value", False, np.inf, note=note))
    return results
