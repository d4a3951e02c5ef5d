"""`numpy-vgg7 article`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from numpy_vgg7 import plots
from numpy_vgg7.article.protocol import BACKPROPS, EPOCHS, SEED, prepare, replay
from numpy_vgg7.article.tuned import TUNED, train_tuned
from numpy_vgg7.cli import options
from numpy_vgg7.cli.options import AsJson, messages, print_json, screen
from numpy_vgg7.data.mnist import read_t10k


def article(
    context: typer.Context,
    preset: Annotated[
        str | None,
        typer.Option(help=f"Instead, learn the 600 images well: {', '.join(TUNED)}."),
    ] = None,
    backprop: Annotated[str, typer.Option(help=f"{', '.join(BACKPROPS)}: which gradient.")] = "true",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the 600 images.")] = EPOCHS,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the shuffle and the initial weights.")] = SEED,
    data_dir: Annotated[
        Path, typer.Option(help="Folder with the t10k files of MNIST, gzipped or not.")
    ] = Path("mnist"),
    plot_dir: Annotated[
        Path | None, typer.Option("--plots", help="Draw cost and confusion into this folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train the article's network as the article did, with the true gradient or one of its two.

    With --preset, train it well: scored on half of the unused images, which chose nothing.
    """
    if preset:
        for name, flag in (("backprop", "--backprop"), ("epochs", "--epochs"), ("plot_dir", "--plots")):
            if options.given(context, name):
                raise typer.BadParameter(f"cannot be combined with {flag}", param_hint="--preset")
        _tuned(preset, seed if options.given(context, "seed") else 0, data_dir, as_json)
        return
    if backprop not in BACKPROPS:
        raise typer.BadParameter(f"choose {', '.join(BACKPROPS)}", param_hint="--backprop")
    if plot_dir:
        options.require_matplotlib("article --plots")
    split, model = prepare(read_t10k(data_dir), seed)
    with (
        options.threads(model, 1),
        Progress(console=messages, disable=not messages.is_terminal, transient=True) as bar,
    ):
        task = bar.add_task("epochs", total=epochs)

        def progress(epoch: int, cost: float) -> None:
            bar.update(task, completed=epoch, description=f"epoch {epoch}, cost {cost:.4f}")

        run = replay(model, split.train, backprop, epochs, progress)
        correct = int((model.predict(split.test.images) == split.test.labels).sum())
        predicted = model.predict(split.unused.images)
    accuracy = float((predicted == split.unused.labels).mean())
    if plot_dir:
        title = f"{backprop} gradient, seed {seed}"
        figures = {
            f"article-{backprop}-cost.png": plots.cost(run.cost, title),
            f"article-{backprop}-confusion.png": plots.confusion(
                split.unused, predicted, model.config.classes
            ),
        }
        plots.write(plot_dir, figures)
        messages.print(f"wrote {', '.join(figures)} in {plot_dir}", soft_wrap=True)
    total = len(split.test)
    if as_json:
        print_json(
            {
                "backprop": backprop,
                "seed": seed,
                "epochs": epochs,
                "cost": run.cost,
                "step_cost": run.step_cost,
                "test_correct": correct,
                "test_total": total,
                "unused_accuracy": accuracy,
                "seconds": run.seconds,
            }
        )
        return
    screen.print(
        f"{backprop} gradient, seed {seed}, {run.seconds:.1f} s: "
        + f"cost {run.cost[0]:.4f} in epoch 1"
        + (f", {run.cost[-1]:.4f} in epoch {epochs}" if epochs > 1 else ""),
        soft_wrap=True,
    )
    screen.print(f"{correct} of {total} test images right; {accuracy:.1%} of the {len(split.unused)} unused")


def _tuned(preset: str, seed: int, data_dir: Path, as_json: bool) -> None:
    with (
        options.threads(None, 1),
        Progress(console=messages, disable=not messages.is_terminal, transient=True) as bar,
    ):
        task = bar.add_task("epochs", total=TUNED[preset].recipe.epochs if preset in TUNED else None)

        def progress(epoch: int, loss: float) -> None:
            bar.update(task, completed=epoch, description=f"epoch {epoch}, loss {loss:.4f}")

        outcome = train_tuned(read_t10k(data_dir), preset, seed, progress)
    scores = {"reporting": outcome.reporting, "tuning": outcome.tuning}
    if as_json:
        record = {f"{half}_accuracy": score.accuracy for half, score in scores.items()}
        record |= {"seconds": outcome.seconds}
        print_json({"preset": preset, "seed": seed, "epochs": TUNED[preset].recipe.epochs} | record)
        return
    screen.print(f"{preset}, seed {seed}, {outcome.seconds:.0f} s, on images of the article's unused ones:")
    for half, score in scores.items():
        screen.print(f"  {half} half: {score.accuracy:.2%} of {score.n}")
