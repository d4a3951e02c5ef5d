"""What a new user meets: help, version, suggestions, completion, a run folder in place of weights, quiet."""

import json
from importlib.metadata import version

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from numpy_vgg7 import VGG7, VGG7Config, environment
from numpy_vgg7.article.protocol import BACKPROPS
from numpy_vgg7.article.tuned import TUNED_PRESETS
from numpy_vgg7.cli.commands import app
from numpy_vgg7.config import DTYPES
from numpy_vgg7.config import PRESETS as NETWORKS
from numpy_vgg7.data import load_digits
from numpy_vgg7.data.augmentation import AUGMENTATIONS
from numpy_vgg7.errors import OutputError, VGG7Error, WeightsError
from numpy_vgg7.exercise.verdict import HINTS
from numpy_vgg7.network import ACTIVATIONS
from numpy_vgg7.optim import SCHEDULES
from numpy_vgg7.parity.layer.check import check_layer
from numpy_vgg7.training.config import PRESETS, TrainingConfig
from numpy_vgg7.weights.layouts import LAYOUTS
from tests.commands import numpy_vgg7, python

HEAVY = {
    "numpy", "scipy", "sklearn", "matplotlib", "PIL", "torch", "onnx", "onnxruntime", "keras", "jax", "h5py",
    "pydantic",
}  # fmt: skip
ALL = get_command(app).commands
GROUPS = {name: command for name, command in ALL.items() if hasattr(command, "commands")}
COMMANDS = [
    [],
    *([name] for name in ALL),
    *([name, inner] for name, group in GROUPS.items() for inner in group.commands),
]


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "110"})


def test_help_and_version_import_nothing_that_a_command_works_with():
    """One process asks for all of them, and says which of the packages it has imported in the end."""
    code = f"""
import sys
from numpy_vgg7.cli import main
for words in {[*([*command, "--help"] for command in COMMANDS), ["--version"]]}:
    sys.argv = ["numpy-vgg7", *words]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, words
print("imported:", *sorted({HEAVY} & set(sys.modules)))
"""
    done = python("-c", code)
    assert done.code == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == "imported:", "import these inside of functions"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_h_is_help_everywhere(command):
    assert run(*command, "-h").output == run(*command, "--help").output
    assert "-h, --help" in run(*command, "-h").output


@pytest.mark.parametrize(
    "command", [words for words in COMMANDS if (words and words[0] not in GROUPS) or words[1:]]
)
def test_every_command_can_be_quiet(command):
    assert "-q, --quiet" in run(*command, "--help").output


# An option with a value that it cannot have, and what is said of it.
OUT_OF_RANGE = {
    "too small": (["train", "--limit", "0"], "must be at least 1"),
    "too large": (["train", "--threads", "300"], "must be at most 256"),
    "no whole number": (["train", "--limit", "1.5"], "must be a whole number"),
    "no number": (["train", "--momentum", "much"], "must be a number"),
    "of a group": (["parity", "prove", "--time-limit", "0"], "must be at least 0.1"),
}


@pytest.mark.parametrize("kind", OUT_OF_RANGE)
def test_a_number_that_an_option_cannot_have_is_refused_in_plain_words(kind):
    words, said = OUT_OF_RANGE[kind]
    done = run(*words)
    assert done.exit_code == 2
    assert done.output.splitlines()[-1] == f"Error: Invalid value for '{words[-2]}': {said}"


def test_the_help_names_the_range_of_every_number():
    text = " ".join(run("train", "--help").output.split())
    for option, words in {
        "epochs": "default: 60; at least 1", "momentum": "default: 0.9; at least 0, below 1",
        "clip-norm": "no limit. [above 0]", "threads": "default: 1; 1 to 256",
        "seed": "default: 0; at least 0",
    }.items():  # fmt: skip
        assert words in text.split(f"--{option} ")[1].split("--")[0], option
    assert "x<=" not in text
    assert "x>=" not in text


# An output file whose name has the wrong suffix, and the suffix that is named.
MISNAMED = {
    "a report": (["report", "no", "--out", "report.png"], ".html or .htm"),
    "a comparison": (["parity", "run", "--html", "report.txt"], ".html or .htm"),
    "a check": (["parity", "check", "no.npz", "--html", "report"], ".html or .htm"),
    "a case": (["parity", "case", "case.npz"], ".safetensors"),
    "a probe": (["export", "no.npz", "w.npz", "--probe", "probe.txt"], ".npz"),
    "a plot": (["bench", "--plot", "growth.svg"], ".png"),
    "weights of Keras": (["export", "no.npz", "w.h5"], ".keras or .weights.h5"),
}


@pytest.mark.parametrize("kind", MISNAMED)
def test_an_output_file_with_a_wrong_suffix_is_refused_before_the_work(kind):
    words, suffix = MISNAMED[kind]
    done = run(*words)
    assert isinstance(done.exception, (OutputError, WeightsError)), done.output
    assert f"{suffix}, found " in str(done.exception), done.exception
    assert "a name ending in " in str(done.exception)


def test_the_version_is_that_of_the_package():
    assert numpy_vgg7("--version") == (0, f"numpy-vgg7 {version('numpy-vgg7')}\n", "")


def test_a_shell_completes_commands_and_options():
    def completions(line):
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        return numpy_vgg7(_NUMPY_VGG7_COMPLETE="complete_bash", **words).stdout.split()

    assert {"train", "evaluate", "parity"} <= set(completions("numpy-vgg7 "))
    assert completions("numpy-vgg7 parity pro") == ["prove"]
    assert completions("numpy-vgg7 train --lr") == ["--lr-conv", "--lr-fc"]


NAMES = {
    "train": {
        "preset": NETWORKS, "schedule": SCHEDULES, "augmentation": AUGMENTATIONS, "settings": PRESETS,
        "dtype": DTYPES, "activations": ACTIVATIONS,
    },
    "parity run": {"preset": NETWORKS},
    "article": {"preset": TUNED_PRESETS, "backprop": BACKPROPS},
    "export": {"layout": LAYOUTS},
    "import": {"preset": NETWORKS, "layout": LAYOUTS, "activations": ACTIVATIONS},
    "exercise new": {"hint": HINTS},
}  # fmt: skip


@pytest.mark.parametrize("command", NAMES)
def test_the_help_of_an_option_lists_all_of_its_values(command):
    found = get_command(app)
    for word in command.split():
        found = found.commands[word]
    helps = {parameter.name: parameter.help for parameter in found.params}
    for option, names in NAMES[command].items():
        missing = [name for name in names if name not in helps[option]]
        assert not missing, f"{command} --{option}: {missing}"


# A command with a mistyped name, and the name that was meant.
MISTYPED = {
    "a command": (["trian"], "train"),
    "a command of a group": (["parity", "chekc"], "check"),
    "an option": (["train", "--epoch", "3"], "--epochs"),
    "a preset": (["train", "--preset", "vgg7-wde"], "vgg7-wide"),
    "named settings": (["train", "--settings", "fats"], "fast"),
    "a schedule": (["train", "--schedule", "onecycle"], "one-cycle"),
    "an activation": (["train", "--activations", "relu,relu,relu,relu,tanh,tahn,tanh"], "tanh"),
    "a dtype": (["train", "--dtype", "float46"], "float64"),
    "a data set": (["train", "--data", "digts"], "digits"),
    "a collection": (["train", "--data", "fashion_mnist"], "fashion-mnist"),
    "a preset of the article": (["article", "--preset", "article_tuned"], "article-tuned"),
    "a gradient of the article": (["article", "--backprop", "publshed"], "published"),
    "a known bug": (["parity", "prove", "--only", "dX rotated by 180 degree (the articles)"], "dX rotated"),
    "a case of bench": (["bench", "--cases", "vgg-b64"], "vgg7-b64"),
    "a peer": (["bench", "--peer", "troch"], "torch"),
    "a hint": (["exercise", "check", ".", "--hint", "wrods"], "words"),
}


@pytest.mark.parametrize("kind", MISTYPED)
def test_a_mistyped_name_gets_a_suggestion(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words, meant = MISTYPED[kind]
    done = run(*words)
    said = " ".join(f"{done.output} {done.exception}".split())
    assert done.exit_code == 2 or isinstance(done.exception, VGG7Error), said
    said = said.replace("'", "").replace("Did you", "did you").replace("Possible options:", "did you mean")
    assert f"did you mean {meant}" in said


def test_python_suggests_names_as_the_command_line_does():
    with pytest.raises(VGG7Error, match=r"did you mean lr_conv\?"):
        TrainingConfig.preset(lrconv=0.1)
    with pytest.raises(VGG7Error, match=r"did you mean avg_pool2d\?"):
        check_layer(None, None, np.zeros((1, 1)), like="avgpool2d")


def test_a_name_like_no_other_gets_no_suggestion():
    with pytest.raises(VGG7Error, match=r"found resnet; choose one$"):
        VGG7Config.preset("resnet")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder whose data need options, and the JSON of the training."""
    folder = tmp_path_factory.mktemp("trained")
    digits = load_digits().whole().take(np.arange(300))
    images = np.round((1 - digits.images[:, 0]) * 16)
    np.savez(folder / "x.npz", images=images, labels=digits.labels + 1)
    encoded = ("--data", folder / "x.npz", "--pixel-max", "16", "--invert", "--labels-from", "1")
    made = run("train", *encoded, "--epochs", "1", "--out", folder / "run", "-q", "--json")
    assert made.exit_code == 0, made.output
    return folder / "run", made


def test_evaluate_takes_weights_and_data_from_a_run_folder(trained):
    folder, made = trained
    done = run("evaluate", folder, "--json")
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    record, expected = json.loads(done.stdout), json.loads(made.stdout)
    assert (record["accuracy"], record["loss"]) == (expected["test_accuracy"], expected["test_loss"])
    assert str(folder / "best.safetensors") in done.stderr, "it does not say which weights"
    assert "x.npz" in done.stderr, "it does not say which data"


def test_data_that_are_given_replace_those_of_the_run_folder_and_its_encoding(trained):
    done = run("evaluate", trained[0], "--data", "digits", "--json")
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    assert json.loads(done.stdout)["n"] == 359


@pytest.mark.parametrize("command", ["inspect", "export", "predict"])
def test_other_commands_take_the_best_weights_of_a_run_folder(command, trained, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((8, 8)))
    others = {"export": [tmp_path / "w.npz"], "predict": [tmp_path / "x.npy"]}.get(command, [])
    by_file, by_folder = (
        run(command, weights, *others) for weights in (trained[0] / "best.safetensors", trained[0])
    )
    assert by_folder.exit_code == 0, f"{by_folder.output} {by_folder.exception}"
    assert by_file.stdout.splitlines()[2:] == by_folder.stdout.splitlines()[2:]
    assert "best.safetensors" in by_folder.stderr


def test_a_folder_without_weights_is_bad_input(tmp_path):
    done = run("evaluate", tmp_path)
    assert isinstance(done.exception, VGG7Error)
    assert "expected a run folder with best.safetensors" in str(done.exception)


def test_quiet_prints_results_only(trained):
    loud, quiet = run("evaluate", trained[0]), run("evaluate", trained[0], "-q")
    assert loud.stdout == quiet.stdout != ""
    assert loud.stderr
    assert quiet.stderr == ""


def test_quiet_keeps_warnings_and_errors(trained, tmp_path):
    (line,) = trained[1].stderr.splitlines()  # one epoch on a few images teaches nothing
    assert line.startswith("nothing was learned")
    (tmp_path / "broken.png").write_bytes(b"")
    assert "broken.png" in run("predict", tmp_path / "broken.png", "-q").stderr


def test_doctor_ends_with_a_verdict(monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    assert run("doctor").stdout.splitlines()[-1] == "Everything that the commands need is installed."
    found = environment.environment()
    lacking = environment.problems(found | {"packages": found["packages"] | {"torch": None, "onnx": None}})
    assert ["'numpy-vgg7[torch]'" in line or "'numpy-vgg7[onnx]'" in line for line in lacking] == [True] * 2
    assert environment.verdict(lacking).startswith("2 problems, ")
    assert json.loads(run("doctor", "--json").stdout)["verdict"] == environment.verdict([])


def test_weights_of_a_run_folder_are_verified_as_a_file_is(trained, tmp_path):
    (tmp_path / "best.safetensors").write_bytes(b"no weights")
    done = run("inspect", tmp_path)
    assert "best.safetensors" in str(done.exception)
    VGG7(VGG7Config.preset("article", image_size=8)).save(tmp_path / "best.safetensors")
    assert run("inspect", tmp_path).exit_code == 0
