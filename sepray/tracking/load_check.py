"""Loads a packaged model once in a clean process and separates with it; a model that fails is never registered."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import mask
from . import load_alone, sources
from .sources import PackagingError

_STANDARD_LIBRARY = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
TIMEOUT = 120.0  # seconds; importing torch takes two on an idle machine


def require_working(model: Path, package: str, files: Mapping[str, Path], example: np.ndarray) -> str | None:
    """Load a packaged model, and separate with it, while neither sepray nor the user's modules can be imported.

    Args:
        model: folder that MLflow's ``save_model`` wrote; the example is written beside it.
        package: name of the copied package in it.
        files: modules that were copied, with their files.
        example: mixtures ``[batch, channel, *signal]`` to separate.

    Returns:
        None if the model was loaded and separated the example. If the process itself failed, nothing is known about the
        model, and the result is the reason: it could not be started, was killed, had too little memory, or took more
        than ``TIMEOUT`` seconds.

    Raises:
        PackagingError: the model cannot be loaded or cannot separate; the message says which import is missing, or what
            else is wrong.
    """
    model = model.resolve()
    mixtures = model.parent / "example.npy"
    settings = {
        "path": [str(model / "code"), *_libraries(files)],
        "refused": sorted(sources.top_levels(files)),
        "loader": f"{package}.tracking.loader",
        "data": str(model / "data" / "separator"),
        "example": str(mixtures),
    }
    try:
        np.save(mixtures, example)
        answer = _ask([sys.executable, "-I", "-B", load_alone.__file__], settings)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return _reason(error)
    if "works" not in answer:
        return mask(" ".join(str(answer["error"]).split()))
    if not answer["works"]:
        reason = str(answer["error"]).replace(f"{package}.user.", "").replace(package, sources.OWN)
        fails = "loads, but does not separate" if answer["loaded"] else "does not load"
        raise PackagingError(
            f"the separator cannot be packaged: the copy of its source files {fails} by itself: "
            f"{mask(' '.join(reason.split()))}; what it needs must be imported by name, from Python files of its own "
            "package or from an installed library; data files are copied from installed packages"
        )
    return None


def _ask(command: list[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        command, input=json.dumps(settings), capture_output=True, text=True, timeout=TIMEOUT, check=True, cwd="/"
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer in {TIMEOUT:.0f} s"
    if isinstance(error, subprocess.CalledProcessError):
        lines = str(error.stderr).strip().splitlines()
        # The line is masked before it is cut, because a part of a secret would not be recognised.
        return f"the process ended with status {error.returncode}" + (f": {mask(lines[-1])[:200]}" if lines else "")
    return mask(str(error))


def _libraries(files: Mapping[str, Path]) -> list[str]:
    """Return ``sys.path`` without the folders of the user's own modules.

    The script may be one of Python's own: ``python -m cProfile study.py``.
    """
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    folders = {Path.cwd(), *([Path(script).resolve().parent] if script else [])}
    for name, path in files.items():
        folders.add(path.resolve().parents[name.count(".") + (path.name == "__init__.py")])
    own = {folder for folder in folders - _STANDARD_LIBRARY if not sources.is_installed(folder)}
    return [entry for entry in sys.path if entry and Path(entry).resolve() not in own]
