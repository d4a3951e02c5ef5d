"""The verdict on a candidate's tensors of one batch: orders recognised, weights compared, layers located."""

from collections import defaultdict

import numpy as np

from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.network import parameter_groups
from numpy_vgg7.parity.bounds import UNIT
from numpy_vgg7.parity.case_file import CaseFile, Tensors
from numpy_vgg7.parity.compare import TensorResult, judge, kind_of
from numpy_vgg7.parity.diagnose import diagnose
from numpy_vgg7.parity.forced import Forced, Result
from numpy_vgg7.parity.localise import Culprit, localise
from numpy_vgg7.parity.orders import FILE, FLATTENED, Order, agree, other_order
from numpy_vgg7.parity.rounding import largest_share
from numpy_vgg7.parity.snap import snapped

# Ten steps in float32 have no rounding bound, since a ReLU may flip: this much of the largest update.
SEVERAL_STEPS = 0.02


class Batch:
    """One batch of a candidate. `judge` fills the other fields."""

    def __init__(
        self, file: CaseFile, tensors: Tensors, float32: bool, partial: bool, scrambled: bool = False
    ) -> None:
        self.file, self.tensors, self.float32, self.scrambled = file, tensors, float32, scrambled
        self.doubts = False  # whether something was a mistake only because nothing else is scrambled
        self.demanded = [n for n in file.reference if n in tensors or not (partial or n in file.given)]
        self.known: Arrays = {}  # what can be computed with, in float64
        self.bad: set[str] = set()  # what cannot, or follows from such
        self.orders: dict[str, Order] = {}
        self.inputs: dict[str, tuple[str, ...]] = {}
        self.results: list[TensorResult] = []
        self.culprits: list[Culprit] = []
        self.shares: dict[str, float] = {}
        self.notes: list[str] = []

    def judge(self) -> None:
        """Fill `results`, `culprits`, `shares` and `notes`."""
        self._give()
        allowed: Arrays = {}
        correct: Arrays = {}
        walk = Forced(self.file.case, self.known, self.float32)
        for result in walk.results():
            correct[result.tensor], allowed[result.tensor] = result.computed, result.allowed
            self.inputs[result.tensor] = result.inputs
            if result.tensor in self.tensors:
                self._examine(result)
            elif self.bad.intersection(result.inputs):
                self.bad.add(result.tensor)
        self._several_steps()
        if not self.float32:
            self._localise()
        for name in self.demanded:
            if self.float32 and name in self.known and name not in self.orders:
                self.results.append(self._rounded(name, correct, allowed))
            else:
                self.results.append(self._compared(name))
        self._report_orders()
        self._loading()

    def _several_steps(self) -> None:
        """Updates after the first step, which nothing else follows from."""
        for name, array in self.tensors.items():
            shape = self.file.reference[name].shape if name in self.file.reference else None
            first = name.rpartition(".step")[0] + ".step1"
            if first in self.orders:  # then these are in that order, too
                continue
            if kind_of(name) == "update" and name not in self.inputs and self._usable(name):
                self.known |= {name: array.astype("float64")} if array.shape == shape else {}

    def _give(self) -> None:
        """Compare what the case gave and the candidate wrote back, which must be equal."""
        for name, right in self.file.given.items():
            array = self.tensors.get(name)
            if array is None:
                continue
            expected = right.astype(array.dtype) if array.dtype.kind == right.dtype.kind else right
            usable = name != "labels" and self._usable(name)
            if array.shape == right.shape and np.array_equal(array, expected):
                if usable:
                    self.known[name] = array.astype("float64")
                continue
            place = name if name in ("input", "labels") else "weights"
            if usable:
                wide, channels = array.astype("float64"), self._flattened()
                order = other_order(wide, right.astype(array.dtype), np.asarray(0.0), name, channels)
                if order and order.array is not None:
                    self.orders[name], self.known[name] = order, order.array
                    continue
            if array.shape == right.shape:
                words = f"{name} differs in {int((array != expected).sum())} of {array.size} elements"
                words += " from that of the case"
            else:
                words = f"{name} has shape {array.shape} instead of {right.shape}"
            self.culprits.append(Culprit(place, name, words))

    def _usable(self, name: str) -> bool:
        """Whether a tensor can be computed with at all."""
        array = self.tensors[name]
        dtypes = ("float32", "float64") if self.float32 else ("float64",)
        return array.dtype.name in dtypes and bool(np.isfinite(array).all())

    def _flattened(self) -> int:
        return self.file.case.model.config.channels[-1]

    def _examine(self, result: Result) -> None:
        """Decide what one tensor is: right, right in another order, unusable, or wrong."""
        name, array = result.tensor, self.tensors[result.tensor]
        blameless = not self.bad.intersection(result.inputs)
        if array.dtype.name not in ("float32", "float64"):
            return
        if not self._usable(name):
            if not np.isfinite(array).all():
                self.bad.add(name)
                if blameless and not (name == "loss" and self._label_without_chance()):
                    self._blame(result, array.astype("float64"))
            return
        wide = array.astype("float64")
        if wide.shape == result.computed.shape and agree(wide, result.computed, result.allowed):
            self.known[name] = wide
            return
        order = other_order(wide, result.computed, result.allowed, name, self._flattened())
        if order and self._accepted(name, order):
            self.orders[name] = order
            if order.array is not None:
                self.known[name] = order.array
            if not order.place:
                self.culprits.append(Culprit(result.place, name, f"{name} is {order.words}"))
            return
        if wide.shape != result.computed.shape:
            self.bad.add(name)
            if blameless:
                self._blame(result, wide)
            return
        self.known[name] = wide
        if self.float32 and blameless:
            self._blame(result, snapped(wide, result.computed, result.allowed))

    def _label_without_chance(self) -> bool:
        """Whether a label has the probability 0: then the loss follows from `probs`, or these from logits."""
        probs, labels = self.known.get("probs"), self.file.case.labels
        return probs is not None and not probs[np.arange(len(labels)), labels].all()

    def _accepted(self, name: str, order: Order) -> bool:
        """Whether an order is one of the file, and not the mistake that looks the same."""
        if order.words == FLATTENED and name in ("flatten", "flatten.grad"):
            # A layout only if what follows is right: then fc5.weight has its columns in this order, too.
            return self._follows(name, order)
        if order.place == FILE and self._updated_with(name):
            return False
        self.doubts |= order.doubtful
        return self.scrambled or not order.doubtful

    def _updated_with(self, name: str) -> bool:
        """Whether the first update was made with a gradient as it is in the file: then it is not the file."""
        parameter = name.removesuffix(".grad")
        updated = self.tensors.get(f"{parameter}.step1")
        start = self.file.case.model.params.get(parameter)
        if updated is None or start is None or updated.shape != start.shape or not name.endswith(".grad"):
            return False
        layers, sgd = self.file.case.model.layers, self.file.case.sgd
        rate = sgd.learning_rates(parameter_groups(layers))[parameter]
        moved = updated.astype("float64") - start
        expected = -rate * (self.tensors[name].astype("float64") + sgd.weight_decay * start)
        tolerance = 1e-2 * np.abs(expected).max() + 4 * UNIT * np.abs(start).max() * self.float32
        return bool(np.abs(moved - expected * (1 + sgd.momentum * sgd.nesterov)).max() <= tolerance)

    def _follows(self, name: str, order: Order) -> bool:
        following = {"flatten": "fc5", "flatten.grad": "pool4.grad"}[name]
        if following not in self.tensors or not self._usable(following) or order.array is None:
            return "flatten" in self.orders
        candidate, layers = self.tensors[following].astype("float64"), self.file.case.model.layers
        if name == "flatten":
            layer = next(layer for layer in layers if layer.name == "fc5")
            params = {key: self.file.case.model.params[f"fc5.{key}"] for key in layer.shapes()}
            right = layer.forward(params, order.array)
        else:
            right = order.array.reshape(self.file.reference["pool4"].shape)
        tolerance = 1e-5 if self.float32 else 1e-10
        if candidate.shape != right.shape:
            candidate = candidate.transpose(0, 3, 1, 2) if candidate.ndim == right.ndim == 4 else candidate
        return candidate.shape == right.shape and bool(
            np.abs(candidate - right).max() <= tolerance * np.abs(right).max()
        )

    def _blame(self, result: Result, suspect: Array) -> None:
        words = diagnose(suspect, result.computed, result.context)
        if result.tensor == "probs" and not np.isfinite(suspect).all():
            words += ": subtract the largest logit of each image before the exponential"
        self.culprits.append(Culprit(result.place, result.tensor, f"{result.tensor} {words}"))

    def _localise(self) -> None:
        """float64: what the layers make of the candidate's tensors; the reference stands in for others."""
        case = self.file.case
        trace = self.file.reference | self.known
        for name in case.model.params:  # without updates, anything will do
            trace.setdefault(f"{name}.step1", trace[name])
        for culprit in localise(case.model.layers, case.sgd, case.labels, trace, foreign=True):
            inputs = self.inputs.get(culprit.tensor, ())
            if culprit.tensor in self.known and not self.bad.intersection(inputs):
                words = culprit.diagnosis
                if culprit.place == "flatten forward" and self._in_flatten_order(trace):
                    words = f"flatten is {FLATTENED}, and so does fc5.weight"
                self.culprits.append(Culprit(culprit.place, culprit.tensor, words))
        tensors = {culprit.tensor for culprit in self.culprits}
        if "probs" in tensors and not np.isfinite(self.tensors.get("loss", np.zeros(()))).all():
            self.culprits = [c for c in self.culprits if c.tensor != "loss"]  # which follows from them
        order = list(self.file.reference)
        self.culprits.sort(key=lambda culprit: order.index(culprit.tensor) if culprit.tensor in order else -1)

    def _in_flatten_order(self, trace: Arrays) -> bool:
        right = trace["pool4"].transpose(0, 2, 3, 1).reshape(trace["flatten"].shape)
        return bool(np.abs(trace["flatten"] - right).max() <= 1e-12 * np.abs(right).max())

    def _rounded(self, name: str, correct: Arrays, allowed: Arrays) -> TensorResult:
        """float32: the verdict by the rounding bound."""
        reference, array = self.file.reference[name], self.known[name]
        if kind_of(name) == "gradient" and not reference.any():
            return self._compared(name)  # vacuous
        largest = float(np.abs(reference).max())
        error = float(np.abs(array - reference).max()) / largest if largest else 0.0
        if name in self.file.given:
            share = 0.0 if not any(c.tensor == name for c in self.culprits) else np.inf
            self.shares[name] = share
            return TensorResult(name, kind_of(name), share == 0, error)
        if name in correct:
            right, bound = correct[name], allowed[name]
        else:  # after several steps
            start = self.file.reference[name.rpartition(".step")[0]]
            right, most = reference, SEVERAL_STEPS * float(np.abs(reference - start).max())
            bound = most + 12 * UNIT * np.abs(reference)
        difference = np.abs(array - right)
        self.shares[name] = largest_share(difference, bound)
        outside = int((difference > bound).sum())
        excess = difference - bound
        index = tuple(int(i) for i in np.unravel_index(excess.argmax(), excess.shape))
        where = f"{list(index)}: {float(array[index]):.9g}, expected {float(right[index]):.9g}"
        worst = f"{where} +- {float(np.broadcast_to(bound, right.shape)[index]):.1g}"
        return TensorResult(name, kind_of(name), outside == 0, error, outside, worst)

    def _compared(self, name: str) -> TensorResult:
        """The verdict by the reference, or why there is none."""
        array = self.tensors.get(name)
        if self.float32 and array is not None and array.dtype == np.float32:
            array = array.astype("float64")
        result = judge(name, array, self.file.reference[name])
        order = self.orders.get(name)
        note = f"is {order.words}" if order else result.note
        return TensorResult(
            name, result.kind, result.passed, result.max_relative_error, result.outside, result.worst, note
        )

    def _report_orders(self) -> None:
        """One line for each order, and none of them a layer's."""
        by_words: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name, order in self.orders.items():
            if order.place:
                by_words[order.place, order.words].append(name)
        for (place, words), names in by_words.items():
            subject = f"{names[0]} is" if len(names) == 1 else f"{', '.join(names)} are"
            whole = all(self.orders[name].array is not None for name in names)
            found = "; read so, the numbers are right, and no layer is to blame" if whole else ""
            self.culprits.append(Culprit(place, names[0], f"{subject} {words}{found}"))

    def _loading(self) -> None:
        """Which weights were written back, and which were used, as far as the outputs show it."""
        params = self.file.case.model.params
        back = [name for name in params if name in self.tensors]
        equal = [name for name in back if name in self.known and name not in self.orders]
        wrong = {culprit.tensor for culprit in self.culprits} | self.bad
        layers = [layer.name for layer in self.file.case.model.layers if layer.shapes()]
        used = [name for name in layers if name in self.known and name not in wrong]
        words = f"{len(back)} of {len(params)} written back, {len(equal)} equal to the case's"
        shown = "all" if used == layers else ", ".join(used) or "none"
        words = words if back else "none written back"
        self.notes.append(f"weights: {words}; used, judging by the outputs: {shown}")
