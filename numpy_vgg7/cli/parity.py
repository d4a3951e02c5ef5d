"""`numpy-vgg7 parity`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from numpy_vgg7.cli import options
from numpy_vgg7.cli.console import print_json, screen
from numpy_vgg7.cli.layout import Command, Group
from numpy_vgg7.cli.options import AsJson, track
from numpy_vgg7.parity import CONTROL_SEEDS, TEST_SECONDS
from numpy_vgg7.suggestions import instead

if TYPE_CHECKING:
    from numpy_vgg7.config import VGG7Config
    from numpy_vgg7.parity.case import Case
    from numpy_vgg7.parity.mutants import Mutant
    from numpy_vgg7.parity.run import Report

MISMATCH = 4
LOCATED = 0.9  # of all bugs

parity = typer.Typer(
    help="Compare this network, or your own, with PyTorch.",
    no_args_is_help=True,
    rich_markup_mode=None,
    cls=Group,
)

Trained = Annotated[
    Path | None,
    typer.Argument(
        help="A trained model or a run folder. Default: random weights.",
        metavar="WEIGHTS",
        **options.ANY_FILE,
    ),
]
ImageSize = Annotated[int, typer.Option(help="Pixels per side, if no weights are given.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images in the batch.")]
# 5 is 2/K for ten classes, so a case of one's own has another by default.
CaseBatchSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Images in the batch. Default: 6, or a size whose 1/N cannot be confused with another factor.",
    ),
]
Html = Annotated[
    Path | None,
    typer.Option(
        help="Also write the report as a self-contained HTML page.", metavar="FILE.html", **options.ANY_FILE
    ),
]


@parity.command(cls=Command)
def run(
    weights: Trained = None,
    preset: options.Preset = "vgg7",
    image_size: ImageSize = 28,
    batch_size: BatchSize = 5,
    seed: options.Seed = 0,
    perturb: Annotated[
        str | None,
        typer.Option(
            help="Add 1e-6 to one weight of this tensor, in the NumPy network only, to show that it is "
            "detected.",
            metavar="TENSOR",
        ),
    ] = None,
    quiet: options.Quiet = False,
    as_json: AsJson = False,
    html: Html = None,
) -> None:
    """Compare values, gradients and updated parameters with PyTorch's.

    The comparison is made in float64, where a difference is a bug, and in float32, where it is rounding;
    gradients are also checked by complex steps. The plain definition of the network is compared as well, and
    so is the forward pass of ONNX's reference evaluator and of ONNX Runtime, where they are installed. Exit
    code 4 on a mismatch.
    """
    from numpy_vgg7.files import require_suffix
    from numpy_vgg7.model import VGG7
    from numpy_vgg7.parity import report
    from numpy_vgg7.parity.run import run as run_case

    if html:
        require_suffix(html, *options.PAGES)
    case = _case(weights, preset, image_size, batch_size, seed)
    product = VGG7.from_params(case.model.config, case.model.params)
    if perturb is not None:
        options.require_one_of("perturb", perturb, product.params)
        product.params[perturb].flat[0] += 1e-6
    with options.pytorch("parity run"):
        from torch_ref.trace import trace as reference
    title = f"{weights or preset}: NumPy against PyTorch, batch of {batch_size}"
    forward, notes = options.onnx_programs()
    found = run_case(title, case, product, reference, seed, forward, notes)
    _show(found, report.as_json(found) if as_json else None, html)


@parity.command("prove", cls=Command)
def prove_(
    only: Annotated[
        str | None,
        typer.Option(help="Only the bugs whose names contain this text; no control.", metavar="TEXT"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds in the control.")] = CONTROL_SEEDS,
    tests: Annotated[
        Path | None,
        typer.Option(
            help="Run your own tests instead: the test_... functions in this Python file.",
            metavar="FILE",
            **options.ANY_FILE,
        ),
    ] = None,
    time_limit: Annotated[
        float,
        typer.Option(min=0.1, help="With --tests: seconds per bug, after which it counts as caught."),
    ] = TEST_SECONDS,
    quiet: options.Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Apply known bugs one by one, and show which are detected.

    The table also shows where each bug is located, and how it is diagnosed. The unchanged network is then
    checked with many seeds, as a control. The exit code is 4 if any bug is missed, if fewer than 90 % are
    located correctly, or if the control fails.

    With --tests, show which of the bugs in the network your own tests catch. This executes FILE. The
    functions take no arguments and must pass without a bug. The exit code is 0, however many bugs are
    caught. PyTorch is not needed.
    """
    from numpy_vgg7.parity import own_tests, report
    from numpy_vgg7.parity.mutants import CATALOGUE, NETWORK
    from numpy_vgg7.parity.prove import control, needed, prove

    known = NETWORK if tests else CATALOGUE
    chosen = [mutant for mutant in known if (only or "").lower() in mutant.name.lower()]
    if not chosen:
        names = [mutant.name for mutant in known]
        fix = instead(only, names, f"there are {len(names)}, such as {names[0]!r}")
        message = f"expected a part of the name of a bug, found {only!r}; {fix}"
        raise typer.BadParameter(message, param_hint="'--only'")
    if tests:
        _prove_tests(tests, own_tests.applicable(chosen), time_limit, as_json)
        return
    with options.pytorch("parity prove"):
        from torch_ref.trace import trace
        from torch_ref.training import train_batches

    references = trace, train_batches
    seeds = 0 if only else seeds
    with options.threads(None, 1):
        verdicts = list(track(prove(references, chosen), "bugs", len(chosen)))
        failures = []
        for found in track(control(references, seeds), "control", seeds):
            failures += found
    located = sum(verdict.blamed_right for verdict in verdicts)
    if as_json:
        print_json(report.prove_json(verdicts, failures, seeds))
    else:
        screen.print(report.prove_table(verdicts))
        if not only:
            screen.print(report.needed_table(needed(verdicts)))
        for failure in failures[:10]:
            screen.print(f"the unchanged network fails: {failure}")
        caught = sum(verdict.caught for verdict in verdicts)
        control_words = f"the unchanged network passes {seeds} seeds" if not failures else "CONTROL FAILED"
        screen.print(
            f"{caught} of {len(verdicts)} bugs caught, {located} located correctly"
            + (f"; {control_words}" if seeds else "")
        )
    if failures or not all(v.caught for v in verdicts) or located < LOCATED * len(verdicts):
        raise typer.Exit(MISMATCH)


def _prove_tests(file: Path, mutants: "list[Mutant]", seconds: float, as_json: bool) -> None:
    from numpy_vgg7.parity import own_tests, report

    names = own_tests.names_of_tests(file, seconds)
    found = list(track(own_tests.outcomes(file, mutants, seconds), "bugs", len(mutants)))
    if as_json:
        print_json(report.own_tests_json(names, found))
        return
    screen.print(report.own_tests_table(found))
    for line in report.own_tests_summary(file, names, found):
        screen.print(line)


@parity.command("case", cls=Command)
def case_(
    file: Annotated[
        Path,
        typer.Argument(
            help="The .safetensors file to write, replaced if it exists.", metavar="FILE", **options.ANY_FILE
        ),
    ],
    weights: Annotated[
        Path | None,
        typer.Option(help="A trained model or a run folder. Default: random weights.", **options.ANY_FILE),
    ] = None,
    preset: options.Preset = "vgg7",
    image_size: ImageSize = 28,
    batch_size: CaseBatchSize = None,
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
) -> None:
    """Write a case that your own implementation can be checked with.

    It contains weights, a batch and the correct trace; and a second, small batch with its own parameters,
    under the names "second/...", with exact zeros before ReLU and logits of 1000 and -1000.
    """
    from numpy_vgg7.files import require_suffix
    from numpy_vgg7.parity import case_file
    from numpy_vgg7.parity.second import second_case

    require_suffix(file, ".safetensors")
    case = _case(weights, preset, image_size, batch_size, seed)
    with options.pytorch("parity case"):
        from torch_ref.trace import trace as reference
    second = second_case(case, seed)
    given = {"input", *second.model.params}
    expected = {name: array for name, array in reference(second).items() if name not in given}
    inner = case_file.CaseFile(second, expected)
    first = reference(case)
    case_file.write_case(file, case, first, inner, seed)
    screen.print(f"wrote {file}")
    silent = [
        name for name, array in (first | expected).items() if name.endswith(".grad") and not array.any()
    ]
    if silent:
        options.print_warning(f"{silent[0]} is zero everywhere, which proves nothing; choose another --seed")
    for line in _next_steps(file, len(case.labels), case.model.config):
        options.print_note(line)


def _next_steps(file: Path, batch: int, config: "VGG7Config") -> list[str]:
    """What to do with a case."""
    from numpy_vgg7.parity.second import confusions

    mine = file.with_name("mine.safetensors")
    alike = confusions(batch, config.classes, config.image_size)
    notes = [f"note: with these sizes, {pair}" for pair in alike]
    return [
        *notes,
        "next:",
        '1. load "input", "labels" and the parameters ("conv1.weight", ...), all float64, into your code;',
        "2. compute values and gradients, and write those that you have under the names that follow",
        f'   "reference/" in {file.name}, such as "act3" and "conv1.weight.grad", to {mine.name}',
        "   (.npz and .pt files are read as well; --names translates other names);",
        '3. do the same with "second/input", "second/labels" and the parameters "second/...", and write',
        '   "second/act3", ...: a batch with exact zeros before ReLU and logits of 1000 and -1000;',
        f"4. numpy-vgg7 parity check {mine} --case {file} --partial",
    ]


@parity.command("check", cls=Command)
def check_(
    file: Annotated[
        Path,
        typer.Argument(
            help="Your tensors: a .safetensors, .npz or .pt file.", metavar="FILE", **options.ANY_FILE
        ),
    ],
    case: Annotated[
        Path | None,
        typer.Option(
            help="The case. Default: the only case file in the same folder as FILE.", **options.ANY_FILE
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Compare only the tensors in FILE; allow others to be missing.")
    ] = False,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="float64, or float32, which is judged by rounding bounds. Default: the dtype of most "
            "tensors."
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            help='A TOML file that translates names, with lines "your name" = "act3.grad".',
            metavar="MAP",
            **options.ANY_FILE,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List all tensors, not only failures.")] = False,
    quiet: options.Quiet = False,
    as_json: AsJson = False,
    html: Html = None,
) -> None:
    """Compare the tensors in FILE with the trace in the case. PyTorch is not needed.

    Exit code 4 on a mismatch.
    """
    from numpy_vgg7.config import DTYPES
    from numpy_vgg7.files import require_suffix
    from numpy_vgg7.parity import case_file, report
    from numpy_vgg7.parity.candidate import read_candidate
    from numpy_vgg7.parity.judge import check

    if dtype is not None:
        options.require_one_of("dtype", dtype, DTYPES)
    if html:
        require_suffix(html, *options.PAGES)
    candidate = read_candidate(file)
    known = case_file.read_case(case or case_file.find_case(file), options.print_warning)
    found = check(known, candidate, partial, dtype, names, f"{file}: compared with the trace in the case")
    _show(found, report.check_json(found) if as_json else None, html, every)


def _case(weights: Path | None, preset: str, image_size: int, batch_size: int | None, seed: int) -> "Case":
    from numpy_vgg7.config import VGG7Config
    from numpy_vgg7.model import VGG7
    from numpy_vgg7.parity.case import random_case, random_model
    from numpy_vgg7.parity.second import telling_batch_size

    if weights:
        trained = VGG7.load(options.weights_file(weights))
        wide = {name: parameter.astype("float64") for name, parameter in trained.params.items()}
        model = VGG7.from_params(trained.config, wide)
    else:
        model = random_model(VGG7Config.preset(preset, image_size=image_size), seed)
    config = model.config
    return random_case(model, batch_size or telling_batch_size(config.classes, config.image_size), seed)


def _show(found: "Report", record: dict[str, object] | None, html: Path | None, every: bool = True) -> None:
    from numpy_vgg7.files import write_text
    from numpy_vgg7.parity import report
    from numpy_vgg7.parity.html import as_html

    if html:
        write_text(html, as_html(found))
    if record is not None:
        print_json(record)
    else:
        if every or not found.comparison.passed:
            screen.print(report.as_table(found, failures_only=not every))
        for line in report.summary(found):
            screen.print(line)
    if not found.passed:
        raise typer.Exit(MISMATCH)
