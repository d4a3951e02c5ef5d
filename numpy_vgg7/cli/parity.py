"""`numpy-vgg7 parity`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from numpy_vgg7.cli import options
from numpy_vgg7.cli.console import messages, print_json, screen
from numpy_vgg7.cli.options import AsJson
from numpy_vgg7.config import VGG7Config
from numpy_vgg7.files import write_text
from numpy_vgg7.model import VGG7
from numpy_vgg7.parity import case_file, own_tests, report
from numpy_vgg7.parity.candidate import read_candidate
from numpy_vgg7.parity.case import Case, random_case, random_model
from numpy_vgg7.parity.html import as_html
from numpy_vgg7.parity.judge import check
from numpy_vgg7.parity.mutants import CATALOGUE, Mutant
from numpy_vgg7.parity.prove import CONTROL_SEEDS, control, needed, prove
from numpy_vgg7.parity.run import Report
from numpy_vgg7.parity.run import run as run_case
from numpy_vgg7.parity.second import confusions, second_case, telling_batch_size

MISMATCH = 4
LOCATED = 0.9  # of all bugs

parity = typer.Typer(help="Compare this network, or your own, with PyTorch.", no_args_is_help=True)

Trained = Annotated[
    Path | None, typer.Argument(help="A trained model. Default: random weights.", metavar="WEIGHTS")
]
ImageSize = Annotated[int, typer.Option(help="Pixels per side, without WEIGHTS.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images in the batch.")]
# 5 is 2/K for ten classes, so a case of one's own has another by default.
CaseBatchSize = Annotated[
    int | None,
    typer.Option(min=1, help="Images in the batch. Default: 6, or what else can be mistaken for no other."),
]
Html = Annotated[Path | None, typer.Option(help="Also write the report as an HTML page.")]


@parity.command()
def run(
    weights: Trained = None,
    preset: options.Preset = "vgg7",
    image_size: ImageSize = 28,
    batch_size: BatchSize = 5,
    seed: options.Seed = 0,
    perturb: Annotated[
        str | None,
        typer.Option(
            help="Add 1e-6 to one weight of this tensor, in the NumPy network only, to see it detected.",
            metavar="TENSOR",
        ),
    ] = None,
    as_json: AsJson = False,
    html: Html = None,
) -> None:
    """Compare every activation, gradient and updated parameter with PyTorch's.

    In float64, where a difference is a bug; in float32, where it is rounding; and with derivatives by
    complex steps. The definition of the network is compared as well; and, where they are installed, ONNX's
    reference evaluator and ONNX Runtime run the forward pass. Exit code 4 on a mismatch.
    """
    with options.pytorch("parity run"):
        from torch_ref.trace import trace as reference

    case = _case(weights, preset, image_size, batch_size, seed)
    product = VGG7.from_params(case.model.config, case.model.params)
    if perturb:
        if perturb not in product.params:
            names = ", ".join(product.params)
            raise typer.BadParameter(f"choose one of {names}", param_hint="--perturb")
        product.params[perturb].flat[0] += 1e-6
    title = f"{weights or preset}: NumPy against PyTorch, batch of {batch_size}"
    forward, notes = options.onnx_programs()
    found = run_case(title, case, product, reference, seed, forward, notes)
    _show(found, report.as_json(found) if as_json else None, html)


@parity.command("prove")
def prove_(
    only: Annotated[
        str | None, typer.Option(help="Only the bugs with this text in their name, without the control.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of the control.")] = CONTROL_SEEDS,
    tests: Annotated[
        Path | None,
        typer.Option(
            help="Run your own tests instead: the functions test_... of this Python file.", metavar="FILE"
        ),
    ] = None,
    time_limit: Annotated[
        float,
        typer.Option(min=0.1, help="With --tests: seconds for each bug, after which it counts as caught."),
    ] = own_tests.SECONDS,
    as_json: AsJson = False,
) -> None:
    """Apply known bugs one by one, and show whether each is detected and located.

    Then check the unchanged network with many seeds, as a control. Exit code 4 if a bug is not detected,
    fewer than 90 % are located correctly, or the control fails.

    With --tests, show which of the bugs your own tests catch. This executes FILE. The functions take no
    arguments, and must pass without a bug. Exit code 0, however many are caught; PyTorch is not needed.
    """
    chosen = [mutant for mutant in CATALOGUE if (only or "").lower() in mutant.name.lower()]
    if not chosen:
        names = "; ".join(mutant.name for mutant in CATALOGUE)
        raise typer.BadParameter(f"no bug has that in its name; there are: {names}", param_hint="--only")
    if tests:
        _prove_tests(tests, own_tests.applicable(chosen), time_limit, as_json)
        return
    with options.pytorch("parity prove"):
        from torch_ref.trace import trace as reference

    seeds = 0 if only else seeds
    watched = {"console": messages, "disable": not messages.is_terminal}
    with options.threads(None, 1):
        verdicts = list(track(prove(reference, chosen), "bugs", total=len(chosen), **watched))  # type: ignore[arg-type]
        failures = []
        for found in track(control(reference, seeds), "control", total=seeds, **watched):  # type: ignore[arg-type]
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


def _prove_tests(file: Path, mutants: list[Mutant], seconds: float, as_json: bool) -> None:
    names = own_tests.names_of_tests(file, seconds)
    running = own_tests.outcomes(file, mutants, seconds)
    shown = not messages.is_terminal
    found = list(track(running, "bugs", total=len(mutants), console=messages, disable=shown))
    if as_json:
        print_json(report.own_tests_json(names, found))
        return
    screen.print(report.own_tests_table(found))
    for line in report.own_tests_summary(file, names, found):
        screen.print(line)


@parity.command("case")
def case_(
    file: Annotated[Path, typer.Argument(help="The .safetensors file to write.", metavar="FILE")],
    weights: Annotated[Path | None, typer.Option(help="A trained model. Default: random weights.")] = None,
    preset: options.Preset = "vgg7",
    image_size: ImageSize = 28,
    batch_size: CaseBatchSize = None,
    seed: options.Seed = 0,
) -> None:
    """Write a case for your own implementation: weights, a batch, and the correct trace.

    Then a second, small batch with parameters of its own, under the names "second/...": exact zeros before
    ReLU and logits of +-1000.
    """
    with options.pytorch("parity case"):
        from torch_ref.trace import trace as reference

    case = _case(weights, preset, image_size, batch_size, seed)
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
        words = f"note: {silent[0]} is zero everywhere, which proves nothing; choose another --seed"
        messages.print(words)
    for line in _next_steps(file, len(case.labels), case.model.config):
        messages.print(line)


def _next_steps(file: Path, batch: int, config: VGG7Config) -> list[str]:
    """What to do with a case."""
    mine = file.with_name("mine.safetensors")
    alike = confusions(batch, config.classes, config.image_size)
    notes = [f"note: with these sizes, {pair}" for pair in alike]
    return [
        *notes,
        "next:",
        '1. load "input", "labels" and the parameters ("conv1.weight", ...), all float64, into your code;',
        "2. compute values and gradients, and write those that you have under the names that stand behind",
        f'   "reference/" in {file.name}, for example "act3" and "conv1.weight.grad", to {mine.name}',
        "   (.npz and .pt are read, too; --names maps other names);",
        '3. do the same with "second/input", "second/labels" and the parameters "second/...", and write',
        '   "second/act3", ...: a batch with exact zeros before ReLU and logits of +-1000;',
        f"4. numpy-vgg7 parity check {mine} --case {file} --partial",
    ]


@parity.command("check")
def check_(
    file: Annotated[
        Path, typer.Argument(help="Your tensors: a .safetensors, .npz or .pt file.", metavar="FILE")
    ],
    case: Annotated[
        Path | None, typer.Option(help="The case. Default: the only case file in the folder of FILE.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Allow FILE to omit tensors.")] = False,
    dtype: Annotated[
        str | None,
        typer.Option(help="float64 or float32, judged by rounding bounds. Default: that of most tensors."),
    ] = None,
    names: Annotated[
        Path | None, typer.Option(help='A TOML file of lines "your name" = "act3.grad".', metavar="MAP")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List every tensor, not only failures.")] = False,
    as_json: AsJson = False,
    html: Html = None,
) -> None:
    """Compare the tensors in FILE with the trace in the case. PyTorch is not needed.

    Exit code 4 on a mismatch.
    """
    candidate = read_candidate(file)
    known = case_file.read_case(case or case_file.find_case(file), options.print_note)
    found = check(known, candidate, partial, dtype, names, f"{file}: compared with the trace in the case")
    _show(found, report.check_json(found) if as_json else None, html, every)


def _case(weights: Path | None, preset: str, image_size: int, batch_size: int | None, seed: int) -> Case:
    if weights:
        trained = VGG7.load(weights)
        wide = {name: parameter.astype("float64") for name, parameter in trained.params.items()}
        model = VGG7.from_params(trained.config, wide)
    else:
        model = random_model(VGG7Config.preset(preset, image_size=image_size), seed)
    config = model.config
    return random_case(model, batch_size or telling_batch_size(config.classes, config.image_size), seed)


def _show(found: Report, record: dict[str, object] | None, html: Path | None, every: bool = True) -> None:
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
