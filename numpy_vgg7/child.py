"""Python code of users, executed in a process of its own: with a time limit, and with its output kept apart.

`answer` starts `python -m MODULE`, whose `main` is `respond`. The answer is a JSON object in a file, since
the code may print. This is no sandbox: the code can do whatever its user can do.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from numpy_vgg7.errors import CodeError
from numpy_vgg7.reading import LONGEST_TEXT, FileKind

PYTHON = FileKind("Python file", CodeError, "correct it", LONGEST_TEXT)
ANSWER = FileKind("answer", CodeError, "correct the code: it writes to the file of the answer", 1 << 26)
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def answer(module: str, path: Path, *words: str, seconds: float) -> dict[str, Any]:
    """What `respond` in that module answers for the code in `path`.

    TimeoutError if it takes longer than `seconds`. CodeError if there is no answer, or an error is the
    answer.
    """
    PYTHON.read(path)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "answer.json"
        command = [sys.executable, "-m", module, str(result), str(path), *words]
        silent = subprocess.DEVNULL
        try:
            done = subprocess.run(
                command,
                env=os.environ | ONE_THREAD,
                timeout=seconds,
                check=False,
                stdin=silent,
                stdout=silent,
                stderr=silent,
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error
        if not result.exists():
            found = f"the end of the process (exit code {done.returncode})"
            raise CodeError(str(path), "code that returns", found, "correct it")
        with ANSWER.parsing(path):
            record: dict[str, Any] = json.loads(ANSWER.read(result))
            if not isinstance(record, dict):
                raise ValueError(type(record).__name__)
            if "error" in record:
                raise CodeError(**record["error"])
    return record


def respond(work: Callable[..., dict[str, Any]]) -> None:
    """In the process that `answer` starts: write what `work` makes of the path and words, and end."""
    result, path, *words = sys.argv[1:]
    try:
        record = work(Path(path), *words)
    except CodeError as error:
        fields = ("what", "expected", "found", "fix")
        record = {"error": {name: getattr(error, name) for name in fields}}
    Path(result).write_text(json.dumps(record), encoding="utf-8")
    os._exit(0)  # threads of the code may still be running


def load(path: Path) -> ModuleType:
    """Execute a Python file, which may import its neighbours. CodeError if it cannot be executed."""
    code = PYTHON.read(path)
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    sys.modules[path.stem] = module  # as an import does; dataclasses look there
    sys.path.insert(0, str(path.parent))
    try:
        # Not an import: compiled files of an earlier state may have the same date and size.
        exec(compile(code, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise raised(path, error) from error
    return module


def raised(path: Path, error: BaseException, function: str = "") -> CodeError:
    """The error for an exception of any kind that code in `path` raised."""
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == str(path) else None
    trace = error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    place = ", ".join(filter(None, (str(path), f"line {line}" if line else function)))
    return CodeError(place, "code that runs", f"{type(error).__name__}: {text}".rstrip(": "), "correct it")
