"""Install, train on the embedded digits and print the parity table, in one command."""

from pathlib import Path

from environment import PYTHON, ROOT, prepare, run


def free_folder() -> Path:
    """The first unused name of runs/demo-1, runs/demo-2, ..."""
    number = 1
    while (ROOT / "runs" / f"demo-{number}").exists():
        number += 1
    return Path("runs") / f"demo-{number}"


def main() -> None:
    """Prepare the environment, train, compare with PyTorch, and print the paths of the results."""
    prepare()
    out = free_folder()
    run(PYTHON, "-m", "numpy_vgg7", "train", "--preset", "vgg7", "--seed", "0", "--out", out)
    run(PYTHON, "-m", "numpy_vgg7", "parity", "run", out / "best.safetensors")
    print(f"\nTrained weights: {out / 'best.safetensors'}\nReport: {out / 'report.html'}")


if __name__ == "__main__":
    main()
