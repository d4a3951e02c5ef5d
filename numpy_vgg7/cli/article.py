"""`numpy-vgg7 article`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from numpy_vgg7.article import EPOCHS, SEED
from numpy_vgg7.cli import options
from numpy_vgg7.cli.console import messages, print_json, screen
from numpy_vgg7.cli.options import AsJson


def article(
    context: typer.Context,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Instead, train one of these with tuned settings on the same 600 images: article-tuned, "
            "article-tuned-augmented or vgg7-600."
        ),
    ] = None,
    backprop: Annotated[
        str,
        typer.Option(
            help="The gradient: true (correct), published (corrected, still wrong) or broken (first version)."
        ),
    ] = "true",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the 600 training images.")] = EPOCHS,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the shuffle and the initial weights.")] = SEED,
    data_dir: Annotated[
        Path, typer.Option(help="Folder with the t10k files of MNIST, gzipped or not.", **options.ANY_FILE)
    ] = Path("mnist"),
    plot_dir: Annotated[
        Path | None,
        typer.Option(
            "--plots", help="Folder for plots of the cost and the confusion matrix.", **options.ANY_FILE
        ),
    ] = None,
    quiet: options.Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Repeat the article's experiment with one of three gradients.

    These are the correct gradient and the two faulty ones that the article published.

    With --preset, train a network with tuned settings on the article's 600 images. It is scored on images
    that were used neither for training nor for choosing the preset.
    """
    from numpy_vgg7 import plots
    from numpy_vgg7.article.protocol import BACKPROPS, prepare, read_data, train

    if preset is not None:
        for name, flag in (("backprop", "--backprop"), ("epochs", "--epochs"), ("plot_dir", "--plots")):
            if options.given(context, name):
                raise typer.BadParameter(f"cannot be combined with {flag}", param_hint="--preset")
        _tuned(preset, seed if options.given(context, "seed") else 0, data_dir, as_json)
        return
    options.require_one_of("backprop", backprop, BACKPROPS)
    if plot_dir:
        options.require_matplotlib("article --plots")
    split, model = prepare(read_data(data_dir), seed)
    with options.threads(model, 1), _progress("cost", epochs) as progress:
        history = train(model, split.train, backprop, epochs, progress)
        correct = int((model.predict(split.test.images) == split.test.labels).sum())
        predicted = model.predict(split.unused.images)
    accuracy = float((predicted == split.unused.labels).mean())
    if plot_dir:
        title = f"{backprop} gradient, seed {seed}"
        figures = {
            f"article-{backprop}-cost.png": plots.cost(history.cost, title),
            f"article-{backprop}-confusion.png": plots.confusion(
                split.unused, predicted, model.config.classes
            ),
        }
        plots.write(plot_dir, figures)
        options.print_note(f"wrote {', '.join(figures)} in {plot_dir}")
    total = len(split.test)
    if as_json:
        print_json(
            {
                "backprop": backprop,
                "seed": seed,
                "epochs": epochs,
                "cost": history.cost,
                "step_cost": history.step_cost,
                "test_correct": correct,
                "test_total": total,
                "unused_accuracy": accuracy,
                "seconds": history.seconds,
            }
        )
        return
    screen.print(
        f"{backprop} gradient, seed {seed}, {history.seconds:.1f} s: "
        + f"cost {history.cost[0]:.4f} in epoch 1"
        + (f", {history.cost[-1]:.4f} in epoch {epochs}" if epochs > 1 else ""),
        soft_wrap=True,
    )
    screen.print(
        f"{correct} of {total} test images correct; {accuracy:.1%} of the {len(split.unused)} unused images"
    )


def _tuned(preset: str, seed: int, data_dir: Path, as_json: bool) -> None:
    from numpy_vgg7.article.tuned import train_tuned, tuned_preset
    from numpy_vgg7.data.mnist import read_t10k

    epochs = tuned_preset(preset).training.epochs
    with options.threads(None, 1), _progress("loss", epochs) as progress:
        outcome = train_tuned(read_t10k(data_dir), preset, seed, progress)
    scores = {"reporting": outcome.reporting, "tuning": outcome.tuning}
    if as_json:
        accuracies = {f"{half}_accuracy": score.accuracy for half, score in scores.items()}
        record = {"preset": preset, "seed": seed, "epochs": epochs} | accuracies
        print_json(record | {"seconds": outcome.seconds})
        return
    screen.print(f"{preset}, seed {seed}, {outcome.seconds:.0f} s; accuracy on the article's unused images:")
    for half, score in scores.items():
        screen.print(f"  {half} half: {score.accuracy:.2%} of {score.n}")


@contextmanager
def _progress(quantity: str, epochs: int) -> Iterator[Callable[[int, float], None]]:
    """A progress bar on a terminal; gives the function that reports an epoch and its cost or loss."""
    from rich.progress import Progress

    with Progress(console=messages, disable=not messages.is_terminal, transient=True) as bar:
        task = bar.add_task("epochs", total=epochs)
        yield lambda epoch, value: bar.update(
            task, completed=epoch, description=f"epoch {epoch}, {quantity} {value:.4f}"
        )
