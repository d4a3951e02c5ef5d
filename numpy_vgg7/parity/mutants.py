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
        """Put the bug into the product for the length of a block. Nothing is replayed there.

        An edit may compute on its way what a replay would keep for ever; and a model that has run before
        would replay what it recorded without the bug.
        """
        with ExitStack() as stack:
            for patch in (*NO_REPLAY, *self.patches):
                stack.enter_context(patch.applied())
            yield


NN = "numpy_vgg7.nn."
CONV_FORWARD = NN + "conv:Conv2d.forward"
CONV_GRADIENTS = NN + "conv:Conv2d.gradients"
CONV_D_X = NN + "conv:Conv2d.d_x"
ROTATED = NN + "conv:Conv2d._rotated"
POOL_FORWARD = NN + "pooling:AvgPool2d.forward"
POOL_BACKWARD = NN + "pooling:AvgPool2d.d_x"
ACTIVATION_BACKWARD = NN + "activations:Activation.d_x"
LINEAR_GRADIENTS = NN + "linear:Linear.gradients"
LINEAR_D_X = NN + "linear:Linear.d_x"
STEP = NN + "sgd:SGD._step"
UPDATE = NN + "sgd:SGD.to_step"
RATE = NN + "sgd:SGD.rate"
WRITE = "numpy_vgg7.weights.formats:write_safetensors"

FORWARD_SUM = "correlate(x, kernel, out, workspace)"
PAIRS = "correlate_pairs(x, d_out, d_kernel, workspace)"
D_WEIGHT = "self._weight(d_kernel, workspace)"
D_BIAS = "workspace.do(np.add.reduce, row.reshape(-1, self.out_channels), axis=0, out=d_bias)"
D_X = "return d_x"
EXCHANGED = "kernel[::-1, ::-1].swapaxes(2, 3)"
FILL_ROTATED = f"workspace.do(np.copyto, rotated, {EXCHANGED})"
QUARTER = "np.multiply, d_out, 0.25, out=quarter"
TO_PIXELS = "inside[row::2, :, column::2], quarter[:, :, :-1]"
FC_WEIGHT = "FactoredGradient(d_out, x)"
FC_DENSE = "FactoredGradient(d_out, x).rows(slice(None))"
FC_BIAS = 'workspace.do(np.add.reduce, d_out, axis=0, out=gradients["bias"])'
FC_D_X = 'params["weight"].T'
RATE_OF = "rates[index : index + 1]"
CONTIGUOUS = 'np.array(tensor, order="C")'

NO_REPLAY = (
    Patch(NN + "workspace:Workspace.replay", (("if not self.reuse:", "if True:"),)),
    Patch(NN + "activations:Activation.forward", (("workspace.reuse and not self.needs_x", "False"),)),
)


def _one(name: str, blame: str, target: str, *edits: Edit) -> Mutant:
    return Mutant(name, blame, (Patch(target, edits),))


def _then(array: str, factor: str) -> str:
    return f"; workspace.do(np.multiply, {array}, {factor}, out={array})"


FORWARD = (
    _one("conv flips its kernel", "conv? forward", CONV_FORWARD,
         (FORWARD_SUM, "correlate(x, kernel[::-1, ::-1], out, workspace)")),
    _one("conv swaps its kernel's axes", "conv? forward", CONV_FORWARD,
         (FORWARD_SUM, "correlate(x, kernel.swapaxes(0, 1), out, workspace)")),
    _one("padding on one side only", "conv? forward", CONV_FORWARD,
         (FORWARD_SUM,
          "shifted = np.pad(x, ((0, 0), (0, 0), (1, 0), (1, 0)))[..., :-1, :-1]; "
          'correlate(workspace.lay("shifted", shifted), kernel, out, workspace)')),
    _one("Winograd's last product with the wrong sign", "conv? forward", NN + "winograd:correlate",
         ("do(np.subtract, y1, m, out=y1)", "do(np.add, y1, m, out=y1)")),
    _one("groups in reversed order", "conv? forward", NN + "conv:Conv2d._blocks",
         ("slice(g * o, g * o + o)", "slice((self.groups - 1 - g) * o, (self.groups - g) * o)")),
    _one("first conv's bias dropped", "conv1 forward", CONV_FORWARD,
         ("if self.bias:", 'if self.bias and self.name != "conv1":')),
    _one("pool divides by k", "pool? forward", POOL_FORWARD, ("pairs, 0.25", "pairs, 0.5")),
    _one("flatten in NHWC order", "flatten forward", NN + "pooling:Flatten.forward",
         ("np.copyto, out, x", "np.copyto, out, x.transpose(0, 2, 3, 1).reshape(x.shape)")),
    _one("leaky ReLU", "act? forward", NN + "activations:ReLU.function",
         ("np.where(x.real <= 0, 0, x)", "np.where(x.real <= 0, 0.001 * x, x)"),
         ("np.maximum, x, np.zeros(x.shape[1:], x.dtype)", "np.maximum, x, 0.001 * x")),
    _one("arctan scaled by 2/pi", "logits forward", NN + "activations:Arctan.function",
         ("do(np.arctan, x, out=out)", "do(np.arctan, x, out=out); do(np.multiply, out, 0.6366197723675814, out=out)")),
    Mutant("arctan scaled by 2/pi, forward and backward", "logits forward", (
        Patch(NN + "activations:Arctan.function", (
            ("do(np.arctan, x, out=out)", "do(np.arctan, x, out=out); do(np.multiply, out, 0.6366197723675814, out=out)"),)),
        Patch(NN + "activations:Arctan.chain", (("np.divide, d_out", "np.divide, 0.6366197723675814 * d_out"),)),
    )),
    _one("softmax over the batch axis", "loss forward", NN + "loss:softmax",
         ("exponentials.sum(axis=1, keepdims=True)", "exponentials.sum(axis=0, keepdims=True)")),
    _one("softmax without max-subtraction", "loss forward", NN + "loss:softmax",
         ("logits - logits.real.max(axis=1, keepdims=True)", "logits")),
    _one("log(p + 1e-3)", "loss forward", NN + "loss:log_softmax",
         ("shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))",
          "np.log(np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True) + 1e-3)")),
    _one("loss summed, gradient averaged", "loss forward", NN + "loss:cross_entropy",
         ("-log_probs.sum() / len(labels)", "-log_probs.sum()")),
)  # fmt: skip

BACKWARD_CONV = (
    _one("dW of the first sample only", "conv? backward", CONV_GRADIENTS,
         (PAIRS,
          'correlate_pairs(workspace.lay("x0", x[:1]), workspace.lay("d0", d_out[:1]), d_kernel, workspace)')),
    _one("dW rotated in one layer", "conv3 backward", CONV_GRADIENTS,
         (D_WEIGHT, f'{D_WEIGHT}[..., ::-1, ::-1] if self.name == "conv3" else {D_WEIGHT}')),
    _one("dW with an extra 1/N", "conv? backward", CONV_GRADIENTS, (PAIRS, PAIRS + _then("d_kernel", "1 / len(d_out)"))),
    _one("dW times 1.05", "conv? backward", CONV_GRADIENTS, (PAIRS, PAIRS + _then("d_kernel", "1.05"))),
    _one("dW through float16", "conv? backward", CONV_GRADIENTS,
         (PAIRS,
          PAIRS + '; half = workspace.array("half", shape, "float16"); '
          'workspace.do(np.copyto, half, d_kernel, casting="unsafe"); workspace.do(np.copyto, d_kernel, half)')),
    _one("dW without its last tap", "conv? backward", CONV_GRADIENTS,
         (PAIRS, PAIRS + "; workspace.do(np.copyto, d_kernel[2, 2], 0)")),
    _one("db averaged over batch and space", "conv? backward", CONV_GRADIENTS,
         (D_BIAS, D_BIAS + _then("d_bias", "1 / (d_out.size / d_out.shape[1])"))),
    _one("db averaged over space", "conv? backward", CONV_GRADIENTS,
         (D_BIAS, D_BIAS + _then("d_bias", "1 / (d_out.shape[2] * d_out.shape[3])"))),
    _one("dW through float16 where the network is float32", "conv? backward", CONV_GRADIENTS,
         (PAIRS,
          PAIRS + '; half = workspace.array("half", shape, "float16" if d_kernel.dtype == "float32" else "float64"); '
          'workspace.do(np.copyto, half, d_kernel, casting="unsafe"); workspace.do(np.copyto, d_kernel, half)')),
    _one("dW by Winograd's products with the wrong sign", "conv? backward", NN + "winograd:correlate_pairs",
         ("do(np.negative, d_y1, out=d_m)", "do(np.copyto, d_m, d_y1)")),
    _one("dX with in/out channels not transposed", "conv? backward", ROTATED,
         (EXCHANGED, "kernel[::-1, ::-1].reshape(shape)")),
    _one("dX with the kernel not rotated", "conv? backward", ROTATED, (EXCHANGED, "kernel.swapaxes(2, 3)")),
    _one("dX rotated by 180 degrees (the article's)", "conv? backward", CONV_D_X,
         (D_X, "return d_x[..., ::-1, ::-1]")),
    _one("overlapping patches assigned instead of added", "conv? backward", ROTATED,
         (FILL_ROTATED, FILL_ROTATED + _then("rotated", "np.arange(9).reshape(3, 3, 1, 1) == 8"))),
    _one("dX without its last tap", "conv? backward", ROTATED,
         (FILL_ROTATED, FILL_ROTATED + _then("rotated", "np.arange(9).reshape(3, 3, 1, 1) != 8"))),
    _one("dX cropped off by one", "conv? backward", CONV_D_X,
         (D_X, "d_x = np.roll(d_x, 1, axis=3); d_x[..., 0] = 0; return d_x")),
    _one("dX with H and W swapped", "conv? backward", CONV_D_X, (D_X, "return d_x.swapaxes(2, 3)")),
    _one("dX of the first conv zero", "conv1 backward", CONV_D_X, (D_X, 'return d_x * (self.name != "conv1")')),
    _one("first conv's gradient zero", "conv1 backward", CONV_GRADIENTS,
         (PAIRS, PAIRS + _then("d_kernel", '(self.name != "conv1")'))),
    _one("stale patches of the previous batch", "conv? backward", CONV_FORWARD,
         ("return out, x",
          "seen = vars(Conv2d.forward); stale = seen.get(self.name, x); seen[self.name] = x; "
          "return out, stale if stale.shape == x.shape else x")),
)  # fmt: skip

BACKWARD_POOL_AND_ACTIVATIONS = (
    _one("pool omits 1/(k*k) (the article's)", "pool? backward", POOL_BACKWARD, (QUARTER, QUARTER.replace("0.25", "1"))),
    _one("pool's gradient to the top left pixel only", "pool? backward", POOL_BACKWARD,
         ("for row in (0, 1):", "for row in (0,):"), ("for column in (0, 1):", "for column in (0,):")),
    _one("pool's gradient tiled instead of repeated", "pool? backward", POOL_BACKWARD,
         (TO_PIXELS,
          "inside[row * height : (row + 1) * height, :, column * width : (column + 1) * width], quarter[:, :, :-1]")),
    _one("pool's gradient transposed", "pool? backward", POOL_BACKWARD,
         (TO_PIXELS, f"{TO_PIXELS}.swapaxes(0, 2)")),
    _one("flatten back in the wrong order", "flatten backward", NN + "pooling:Flatten.d_x",
         ("d_out.reshape(shape)",
          "d_out.reshape(shape[0], shape[2], shape[3], shape[1]).transpose(0, 3, 1, 2)")),
    _one("ReLU'(0) = 1", "act? backward", NN + "activations:ReLU.chain",
         ("np.greater, out", "np.greater_equal, x")),
    _one("guided ReLU", "act? backward", NN + "activations:ReLU.chain",
         ("np.multiply, d_out, mask", "np.multiply, np.maximum(d_out, 0), mask")),
    _one("ReLU overwrites its caller's gradient", "act? backward", ACTIVATION_BACKWARD,
         ("x, out = cache", "x, out = cache; caller = d_out"),
         ("return d_x", "isinstance(self, ReLU) and np.copyto(caller, d_x); return d_x")),
    _one("tanh' from the pre-activation", "act? backward", NN + "activations:Tanh.chain",
         ("np.multiply, out, out", "np.multiply, x, x")),
    _one("tanh' missing", "act? backward", NN + "activations:Tanh.chain",
         ("np.subtract, 1, d_x, out=d_x", "np.copyto, d_x, 1")),
    _one("arctan' from the output", "logits backward", NN + "activations:Arctan.chain",
         ("np.multiply, x, x", "np.multiply, out, out")),
    _one("arctan' missing", "logits backward", NN + "activations:Arctan.chain",
         ("np.divide, d_out, d_x, out=d_x", "np.copyto, d_x, d_out")),
    Mutant("arctan' missing here and in the referee", "logits backward", (
        Patch(NN + "activations:Arctan.chain", (("np.divide, d_out, d_x, out=d_x", "np.copyto, d_x, d_out"),)),
        Patch("torch_ref.model:Arctan.forward", (("torch.atan(x)", "torch.atan(x).detach() + (x - x.detach())"),)),
    )),
    Mutant("the article's corrected gradient (1/4 and rotation)", "pool? backward", (
        Patch(POOL_BACKWARD, ((QUARTER, QUARTER.replace("0.25", "1")),)),
        Patch(CONV_D_X, ((D_X, "return d_x[..., ::-1, ::-1]"),)),
    )),
)  # fmt: skip

BACKWARD_LOSS_AND_LINEAR = (
    _one("1/N missing", "loss backward", NN + "loss:cross_entropy_backward", ("d_logits / batch_size", "d_logits")),
    _one("extra factor p(1-p)", "loss backward", NN + "loss:cross_entropy_backward",
         ("d_logits / batch_size", "d_logits * probs * (1 - probs) / batch_size")),
    _one("returned softmax overwritten in place", "loss backward", NN + "loss:cross_entropy_backward",
         ("probs.copy()", "probs")),
    _one("FC dW transposed", "fc? backward", LINEAR_GRADIENTS,
         (FC_WEIGHT, f"{FC_DENSE}.T.reshape(self.out_features, -1)")),
    _one("FC dW clipped silently", "fc? backward", LINEAR_GRADIENTS, (FC_WEIGHT, f"{FC_DENSE}.clip(-0.01, 0.01)")),
    _one("FC dW with one column zero", "fc? backward", LINEAR_GRADIENTS,
         (FC_WEIGHT, f"{FC_DENSE} * ([1, 0] + [1] * (self.in_features - 2))")),
    _one("FC dW in a buffer that the next batch overwrites", "fc? backward", LINEAR_GRADIENTS,
         (FC_WEIGHT,
          "vars(Linear.gradients).setdefault((self.name, d_out.dtype.str, d_out.shape[1], x.shape[1]), "
          f"{FC_DENSE})"),
         ("if self.bias:", 'workspace.do(np.matmul, d_out.T, x, out=gradients["weight"])\n    if self.bias:')),
    _one("FC db averaged", "fc? backward", LINEAR_GRADIENTS,
         (FC_BIAS, FC_BIAS + _then('gradients["bias"]', "1 / len(d_out)"))),
    _one("FC db of the first sample", "fc? backward", LINEAR_GRADIENTS,
         (FC_BIAS, 'workspace.do(np.copyto, gradients["bias"], d_out[0])')),
    _one("FC db shares memory with the upstream gradient", "fc? backward", LINEAR_GRADIENTS,
         ('gradients["bias"] = ', 'gradients["bias"] = d_out[0] if len(d_out) == 1 else ')),
    _one("FC dX with the updated W", "fc? backward", LINEAR_D_X,
         (FC_D_X, '(params["weight"] - 0.005 * (d_out.T @ x)).T')),
    _one("FC dX with W not transposed", "fc? backward", LINEAR_D_X,
         (FC_D_X, 'params["weight"].T.reshape(params["weight"].shape).T')),
)  # fmt: skip

OPTIMISER = (
    Mutant("gradients never zeroed", "optimiser", (
        Patch(STEP, (("plain = not (self.momentum or self.weight_decay)", "plain = False"),)),
        Patch(UPDATE, (
            ("if self.momentum:", "if True:"),
            ("np.multiply, velocity, self.momentum, out=velocity", "np.multiply, velocity, 1, out=velocity"))),
    )),
    _one("conv and FC rates swapped", "optimiser", RATE, ('startswith("conv")', 'startswith("fc")')),
    _one("fc5 in the conv group", "optimiser", RATE, ('startswith("conv")', 'startswith(("conv", "fc5"))')),
    _one("rate divided by N", "optimiser", STEP, (RATE_OF, RATE_OF + " / 5")),
    _one("rate times 0.99", "optimiser", STEP, (RATE_OF, RATE_OF + " * 0.99")),
    _one("biases frozen", "optimiser", STEP, (RATE_OF, RATE_OF + ' * (not name.endswith("bias"))')),
    _one("conv3 frozen", "optimiser", STEP, (RATE_OF, RATE_OF + ' * (not name.startswith("conv3"))')),
    _one("bias sign flipped", "optimiser", STEP, (RATE_OF, RATE_OF + ' * (-1 if name.endswith("bias") else 1)')),
    _one("second kernel updated from the first (the article's typo)", "optimiser", STEP,
         ("parameter = whole[part]",
          'parameter = whole[part]; twin = params["conv1.weight"] if name == "conv2.weight" else parameter; '
          "twin.size == whole.size and workspace.do(np.copyto, parameter, twin)")),
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
