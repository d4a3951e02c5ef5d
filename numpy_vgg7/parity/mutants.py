"""The catalogue of bugs: small edits of the product's own source, each with the place to blame.

A mutant replaces the code of existing functions, so whoever holds a reference to them runs the bug too.
Applying one fails loudly unless each edit finds its text exactly once.
"""

import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

Edit = tuple[str, str]


@dataclass(frozen=True)
class Patch:
    """Edits, old text to new, of one function: "module:Class.method" or "module:function"."""

    target: str
    edits: tuple[Edit, ...]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Run the edited function in place of the original. Raises LookupError if an edit doesn't fit."""
        function = self._function()
        original = function.__code__
        function.__code__ = self._edited(function).__code__
        try:
            yield
        finally:
            function.__code__ = original
            vars(function).clear()  # what a mutant may have kept there

    def _function(self) -> Any:
        module, path = self.target.split(":")
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = inspect.getattr_static(found, name)
        return found.__func__ if isinstance(found, (classmethod, staticmethod)) else found

    def _edited(self, function: Callable[..., Any]) -> Any:
        source = textwrap.dedent(inspect.getsource(function))
        for old, new in self.edits:
            if source.count(old) != 1:
                raise LookupError(f"{self.target}: {source.count(old)} places like {old!r}, not 1")
            source = source.replace(old, new)
        lines = source[source.index("def ") :]  # without decorators
        namespace: dict[str, Any] = {}
        exec(compile(lines, f"<mutant of {self.target}>", "exec"), function.__globals__, namespace)
        return namespace[function.__name__]


@dataclass(frozen=True)
class Mutant:
    """A bug. `blame` is a pattern for the place that should be found: "conv? backward"."""

    name: str
    blame: str
    patches: tuple[Patch, ...]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the bug into the product for the length of a block."""
        with ExitStack() as stack:
            for patch in self.patches:
                stack.enter_context(patch.applied())
            yield


NN = "numpy_vgg7.nn."
CONV_FORWARD = NN + "conv:Conv2d.forward"
CONV_BACKWARD = NN + "conv:Conv2d.backward"
PATCHES = NN + "conv:patches"
TRANSPOSED = NN + "conv:transposed"
POOL_FORWARD = NN + "pooling:AvgPool2d.forward"
POOL_BACKWARD = NN + "pooling:AvgPool2d.backward"
LINEAR_BACKWARD = NN + "linear:Linear.backward"
STEP = NN + "sgd:SGD.step"
RATE = NN + "sgd:SGD.rate"
WRITE = "numpy_vgg7.weights.formats:write_safetensors"

D_WEIGHT = '{"weight": d_weight}'
D_BIAS = "d_rows.sum(axis=2)"
D_X = "return d_x, gradients"
EXCHANGED = "blocks.swapaxes(1, 2)[..., ::-1, ::-1]"
TOP_LEFT = "d_x[:, :, 1::2] = 0; d_x[..., 1::2] = 0; return d_x, {}"
SPREAD = "return (d_out * 0.25).repeat(2, axis=2).repeat(2, axis=3), {}"
FC_WEIGHT = '{"weight": d_out.T @ x}'
FC_D_X = 'd_out @ params["weight"]'
UPDATE = "parameter -= scale * self.rate(name) * ahead"
CONTIGUOUS = 'np.array(tensor, order="C")'


def _one(name: str, blame: str, target: str, *edits: Edit) -> Mutant:
    return Mutant(name, blame, (Patch(target, edits),))


FORWARD = (
    _one("conv flips its kernel", "conv? forward", CONV_FORWARD,
         ('params["weight"], columns', 'params["weight"][..., ::-1, ::-1], columns')),
    _one("conv swaps its kernel's axes", "conv? forward", CONV_FORWARD,
         ('params["weight"], columns', 'params["weight"].swapaxes(2, 3), columns')),
    _one("padding on one side only", "conv? forward", PATCHES,
         ("border = (PADDING, PADDING)", "border = (2 * PADDING, 0)")),
    _one("groups in reversed order", "conv? forward", PATCHES,
         ("return rows.reshape(groups, channels // groups * TAPS, n * height * width)",
          "return rows.reshape(groups, channels // groups * TAPS, n * height * width)[::-1]")),
    _one("first conv's bias dropped", "conv1 forward", CONV_FORWARD,
         ("if self.bias:", 'if self.bias and self.name != "conv1":')),
    _one("pool divides by k", "pool? forward", POOL_FORWARD, ("total * 0.25", "total * 0.5")),
    _one("flatten in NHWC order", "flatten forward", NN + "pooling:Flatten.forward",
         ("x.reshape(x.shape[0], -1)", "x.transpose(0, 2, 3, 1).reshape(x.shape[0], -1)")),
    _one("leaky ReLU", "act? forward", NN + "activations:ReLU.forward",
         ("x.dtype.type(0)", "x.dtype.type(0.001) * x")),
    _one("arctan scaled by 2/pi", "logits forward", NN + "activations:Arctan.forward",
         ("return np.arctan(x)", "return np.arctan(x) * 0.6366197723675814")),
    Mutant("arctan scaled by 2/pi, forward and backward", "logits forward", (
        Patch(NN + "activations:Arctan.forward", (("np.arctan(x), x", "np.arctan(x) * 0.6366197723675814, x"),)),
        Patch(NN + "activations:Arctan.backward", (("d_out / (1 + x * x)", "d_out * 0.6366197723675814 / (1 + x * x)"),)),
    )),
    _one("softmax over the batch axis", "loss forward", NN + "loss:softmax",
         ("exponentials.sum(axis=1, keepdims=True)", "exponentials.sum(axis=0, keepdims=True)")),
    _one("softmax without max-subtraction", "loss forward", NN + "loss:softmax",
         ("logits - logits.real.max(axis=1, keepdims=True)", "logits")),
    _one("log(p + 1e-3)", "loss forward", NN + "loss:log_softmax",
         ("shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))",
          "np.log(np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True) + 1e-3)")),
    _one("loss summed, gradient averaged", "loss forward", NN + "loss:cross_entropy",
         (".mean()", ".sum()")),
)  # fmt: skip

BACKWARD_CONV = (
    _one("dW of the first sample only", "conv? backward", CONV_BACKWARD,
         ("d_rows @ columns.swapaxes(1, 2)",
          "d_rows[..., : d_rows.shape[2] // len(d_out)]"
          " @ columns[..., : d_rows.shape[2] // len(d_out)].swapaxes(1, 2)")),
    _one("dW rotated in one layer", "conv3 backward", CONV_BACKWARD,
         (D_WEIGHT, '{"weight": d_weight[..., ::-1, ::-1].copy() if self.name == "conv3" else d_weight}')),
    _one("dW with an extra 1/N", "conv? backward", CONV_BACKWARD, (D_WEIGHT, '{"weight": d_weight / len(d_out)}')),
    _one("dW times 1.05", "conv? backward", CONV_BACKWARD, (D_WEIGHT, '{"weight": d_weight * 1.05}')),
    _one("dW through float16", "conv? backward", CONV_BACKWARD,
         (D_WEIGHT, '{"weight": d_weight.astype("float16").astype(d_weight.dtype)}')),
    _one("dW without its last tap", "conv? backward", CONV_BACKWARD,
         (D_WEIGHT, '{"weight": d_weight * (np.arange(9).reshape(3, 3) != 8)}')),
    _one("db averaged over batch and space", "conv? backward", CONV_BACKWARD, (D_BIAS, "d_rows.mean(axis=2)")),
    _one("db averaged over space", "conv? backward", CONV_BACKWARD,
         (D_BIAS, "(d_rows.sum(axis=2) / (d_out.shape[2] * d_out.shape[3]))")),
    _one("dW through float16 where the network is float32", "conv? backward", CONV_BACKWARD,
         (D_WEIGHT,
          '{"weight": d_weight.astype("float16" if d_weight.dtype == "float32" else "float64")'
          ".astype(d_weight.dtype)}")),
    _one("dX with in/out channels not transposed", "conv? backward", TRANSPOSED,
         (EXCHANGED, "blocks[..., ::-1, ::-1]")),
    _one("dX with the kernel not rotated", "conv? backward", TRANSPOSED, (EXCHANGED, "blocks.swapaxes(1, 2)")),
    _one("dX rotated by 180 degrees (the article's)", "conv? backward", CONV_BACKWARD,
         (D_X, "return d_x[..., ::-1, ::-1], gradients")),
    _one("overlapping patches assigned instead of added", "conv? backward", TRANSPOSED,
         (EXCHANGED, f"{EXCHANGED} * (np.arange(9).reshape(3, 3) == 8)")),
    _one("dX without its last tap", "conv? backward", TRANSPOSED,
         (EXCHANGED, f"{EXCHANGED} * (np.arange(9).reshape(3, 3) != 8)")),
    _one("dX cropped off by one", "conv? backward", CONV_BACKWARD,
         (D_X, "d_x = np.roll(d_x, 1, axis=3); d_x[..., 0] = 0; return d_x, gradients")),
    _one("dX with H and W swapped", "conv? backward", CONV_BACKWARD,
         (D_X, "return d_x.swapaxes(2, 3), gradients")),
    _one("dX of the first conv zero", "conv1 backward", CONV_BACKWARD,
         (D_X, 'return d_x * (self.name != "conv1"), gradients')),
    _one("first conv's gradient zero", "conv1 backward", CONV_BACKWARD,
         (D_WEIGHT, '{"weight": d_weight * (self.name != "conv1")}')),
    _one("stale patches of the previous batch", "conv? backward", CONV_FORWARD,
         ("return out, columns",
          "seen = vars(Conv2d.forward); stale = seen.get(self.name, columns); seen[self.name] = columns; "
          "return out, stale if stale.shape == columns.shape else columns")),
)  # fmt: skip

BACKWARD_POOL_AND_ACTIVATIONS = (
    _one("pool omits 1/(k*k) (the article's)", "pool? backward", POOL_BACKWARD, ("(d_out * 0.25)", "d_out")),
    _one("pool's gradient to the top left pixel only", "pool? backward", POOL_BACKWARD,
         (SPREAD, f"d_x = d_out.repeat(2, axis=2).repeat(2, axis=3); {TOP_LEFT}")),
    _one("pool's gradient tiled instead of repeated", "pool? backward", POOL_BACKWARD,
         (SPREAD, 'return __import__("numpy").tile(d_out * 0.25, (1, 1, 2, 2)), {}')),
    _one("pool's gradient transposed", "pool? backward", POOL_BACKWARD,
         ("(d_out * 0.25)", "(d_out * 0.25).swapaxes(2, 3)")),
    _one("flatten back in the wrong order", "flatten backward", NN + "pooling:Flatten.backward",
         ("d_out.reshape(shape)",
          "d_out.reshape(shape[0], shape[2], shape[3], shape[1]).transpose(0, 3, 1, 2)")),
    Mutant("ReLU'(0) = 1", "act? backward", (
        Patch(NN + "activations:ReLU.forward", (("return out, out", "return out, x"),)),
        Patch(NN + "activations:ReLU.backward", (("(out > 0)", "(out >= 0)"),)),
    )),
    _one("guided ReLU", "act? backward", NN + "activations:ReLU.backward",
         ("(out > 0)", "(out > 0) * (d_out > 0)")),
    _one("ReLU overwrites its caller's gradient", "act? backward", NN + "activations:ReLU.backward",
         ("return d_out * (out > 0), {}", "d_out *= out > 0; return d_out, {}")),
    _one("tanh' from the pre-activation", "act? backward", NN + "activations:Tanh.forward",
         ("return out, out", "return out, x")),
    _one("tanh' missing", "act? backward", NN + "activations:Tanh.backward",
         ("d_out * (1 - out * out)", "d_out * 1")),
    _one("arctan' from the output", "logits backward", NN + "activations:Arctan.forward",
         ("np.arctan(x), x", "np.arctan(x), np.arctan(x)")),
    _one("arctan' missing", "logits backward", NN + "activations:Arctan.backward",
         ("d_out / (1 + x * x)", "d_out / 1")),
    Mutant("arctan' missing here and in the referee", "logits backward", (
        Patch(NN + "activations:Arctan.backward", (("d_out / (1 + x * x)", "d_out / 1"),)),
        Patch("torch_ref.model:Arctan.forward", (("torch.atan(x)", "torch.atan(x).detach() + (x - x.detach())"),)),
    )),
    Mutant("the article's corrected gradient (1/4 and rotation)", "pool? backward", (
        Patch(POOL_BACKWARD, (("(d_out * 0.25)", "d_out"),)),
        Patch(CONV_BACKWARD, ((D_X, "return d_x[..., ::-1, ::-1], gradients"),)),
    )),
)  # fmt: skip

BACKWARD_LOSS_AND_LINEAR = (
    _one("1/N missing", "loss backward", NN + "loss:cross_entropy_backward", ("d_logits / batch_size", "d_logits")),
    _one("extra factor p(1-p)", "loss backward", NN + "loss:cross_entropy_backward",
         ("d_logits / batch_size", "d_logits * probs * (1 - probs) / batch_size")),
    _one("returned softmax overwritten in place", "loss backward", NN + "loss:cross_entropy_backward",
         ("probs.copy()", "probs")),
    _one("FC dW transposed", "fc? backward", LINEAR_BACKWARD,
         (FC_WEIGHT, '{"weight": (d_out.T @ x).T.reshape(self.out_features, -1)}')),
    _one("FC dW clipped silently", "fc? backward", LINEAR_BACKWARD,
         (FC_WEIGHT, '{"weight": (d_out.T @ x).clip(-0.01, 0.01)}')),
    _one("FC dW with one column zero", "fc? backward", LINEAR_BACKWARD,
         (FC_WEIGHT, '{"weight": (d_out.T @ x) * ([1, 0] + [1] * (self.in_features - 2))}')),
    _one("FC dW in a buffer that the next batch overwrites", "fc? backward", LINEAR_BACKWARD,
         (FC_WEIGHT,
          'vars(Linear.backward).setdefault((self.name, d_out.dtype, d_out.shape[1], x.shape[1]), '
          '{"weight": d_out.T @ x}).copy()'),
         ("if self.bias:", 'gradients["weight"][...] = d_out.T @ x\n    if self.bias:')),
    _one("FC db averaged", "fc? backward", LINEAR_BACKWARD, ("d_out.sum(axis=0)", "d_out.mean(axis=0)")),
    _one("FC db of the first sample", "fc? backward", LINEAR_BACKWARD, ("d_out.sum(axis=0)", "d_out[0].copy()")),
    _one("FC db shares memory with the upstream gradient", "fc? backward", LINEAR_BACKWARD,
         ("d_out.sum(axis=0)", "d_out[0] if len(d_out) == 1 else d_out.sum(axis=0)")),
    _one("FC dX with the updated W", "fc? backward", LINEAR_BACKWARD,
         (FC_D_X, 'd_out @ (params["weight"] - 0.005 * gradients["weight"])')),
    _one("FC dX with W not transposed", "fc? backward", LINEAR_BACKWARD,
         (FC_D_X, 'd_out @ params["weight"].T.reshape(params["weight"].shape)')),
)  # fmt: skip

OPTIMISER = (
    _one("gradients never zeroed", "optimiser", STEP, ("velocity[name] *= self.momentum", "velocity[name] *= 1")),
    _one("conv and FC rates swapped", "optimiser", RATE, ('startswith("conv")', 'startswith("fc")')),
    _one("fc5 in the conv group", "optimiser", RATE, ('startswith("conv")', 'startswith(("conv", "fc5"))')),
    _one("rate divided by N", "optimiser", STEP, (UPDATE, UPDATE + " / 5")),
    _one("rate times 0.99", "optimiser", STEP, (UPDATE, UPDATE + " * 0.99")),
    _one("biases frozen", "optimiser", STEP, (UPDATE, UPDATE + ' * (not name.endswith("bias"))')),
    _one("conv3 frozen", "optimiser", STEP, (UPDATE, UPDATE + ' * (not name.startswith("conv3"))')),
    _one("bias sign flipped", "optimiser", STEP, (UPDATE, UPDATE + ' * (-1 if name.endswith("bias") else 1)')),
    _one("second kernel updated from the first (the article's typo)", "optimiser", STEP,
         (UPDATE,
          'twin = params["conv1.weight"] if name == "conv2.weight" else parameter; '
          "start = twin if twin.shape == parameter.shape else parameter; "
          "parameter[...] = start - scale * self.rate(name) * ahead")),
)  # fmt: skip

INTERCHANGE = (
    _one("square FC exported untransposed", "weights", WRITE,
         (CONTIGUOUS, 'np.array(tensor.T if name == "fc6.weight" else tensor, order="C")')),
    _one("kernel axes swapped on export", "weights", WRITE,
         (CONTIGUOUS, 'np.array(tensor.swapaxes(2, 3) if tensor.ndim == 4 else tensor, order="C")')),
    _one("float16 on save", "weights", WRITE,
         (CONTIGUOUS, 'np.array(tensor.astype("float16").astype(tensor.dtype), order="C")')),
    _one("imported arrays alias the source", "weights", "numpy_vgg7.vgg7:VGG7.from_params",
         ('order="C", copy=True', 'order="C", copy=False')),
)  # fmt: skip

CATALOGUE: tuple[Mutant, ...] = (
    *FORWARD,
    *BACKWARD_CONV,
    *BACKWARD_POOL_AND_ACTIVATIONS,
    *BACKWARD_LOSS_AND_LINEAR,
    *OPTIMISER,
    *INTERCHANGE,
)
