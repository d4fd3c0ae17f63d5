"""Script: loads a packaged model and separates with it, while neither sepray nor the user's modules can be imported.

Imports only the standard library. Reads its settings as one JSON object from standard input:

- ``path``: the value of ``sys.path``, which begins with the folder of the copied package.
- ``refused``: top-level names that cannot be imported.
- ``loader``: module that loads the model; ``data``: folder that it loads from.
- ``example``: NPY file of mixtures ``[batch, channel, *signal]``.

Writes one JSON object to standard output:

- ``{"works": true}``
- ``{"works": false, "error": ..., "loaded": ...}``; ``loaded`` is true if the model was loaded and failed to separate.
- ``{"error": ...}`` if the failure says nothing about the model: the libraries that every model needs cannot be
  imported, or there is too little memory.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

LIBRARIES = ("numpy", "safetensors.torch", "torch")


class Refusal(MetaPathFinder):
    """Import hook that hides some top-level modules, wherever they are installed."""

    def __init__(self, names: list[str]) -> None:
        self.names = set(names)

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return None, which leaves the module to the next finder.

        Raises:
            ModuleNotFoundError: the name is a refused one.
        """
        if fullname.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


def verdict(settings: dict[str, Any]) -> dict[str, Any]:
    """Load the model and separate the example; return the JSON object for standard output."""
    sys.path[:] = settings["path"]
    sys.meta_path.insert(0, Refusal(settings["refused"]))
    try:
        for name in LIBRARIES:
            importlib.import_module(name)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    loaded = False
    try:
        model = importlib.import_module(settings["loader"])._load_pyfunc(settings["data"])
        loaded = True
        model = getattr(model, "model", model)  # the model without a server's limits, which turn errors into refusals
        _separate(model, settings["example"])
    except Exception as error:
        if isinstance(error, MemoryError) or "allocate memory" in str(error):  # torch raises a RuntimeError
            return {"error": f"{type(error).__name__}: {error}"}
        kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        return {"works": False, "error": f"{kind}{error}{_where(error, settings['path'][0])}", "loaded": loaded}
    return {"works": True}


def _separate(model: Any, example: str) -> None:
    """Separate mixtures as a user of the model would, on the CPU.

    Raises:
        ValueError: the estimates have another shape than ``[batch, source, channel, *signal]``.
    """
    mixtures = importlib.import_module("numpy").load(example)
    shape = model.predict(mixtures, {"device": "cpu"}).shape
    expected = (len(mixtures), len(model.signal.sources), model.signal.source_channels, *mixtures.shape[2:])
    if shape != expected:
        raise ValueError(f"the estimates of mixtures {list(mixtures.shape)} are {list(shape)}, not {list(expected)}")


def _where(error: Exception, code: str) -> str:
    """Return the last line of the copied source files that an error passed through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(code)]
    return f" ({os.path.basename(frames[-1].filename)}: {frames[-1].line})" if frames else ""


def main() -> None:
    """Run the script."""
    settings = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a separator that prints must not write into the answer
    json.dump(verdict(settings), answers)
    answers.close()


if __name__ == "__main__":
    main()
