"""Everything in one command: install, train on the embedded digits, and show the parity table."""

from pathlib import Path

from environment import PYTHON, ROOT, prepare, run


def free_folder() -> Path:
    """A folder in runs/ that no earlier demonstration has used."""
    number = 1
    while (ROOT / "runs" / f"demo-{number}").exists():
        number += 1
    return Path("runs") / f"demo-{number}"


def main() -> None:
    """Prepare, train, compare, and say where things are."""
    prepare()
    out = free_folder()
    run(PYTHON, "-m", "numpy_vgg7", "train", "--preset", "vgg7", "--seed", "0", "--out", out)
    run(PYTHON, "-m", "numpy_vgg7", "parity", "run", out / "best.safetensors")
    print(f"\nThe trained weights are {out / 'best.safetensors'}; look at the pictures in {out / 'plots'}.")


if __name__ == "__main__":
    main()
