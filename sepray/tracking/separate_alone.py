"""Script: loads a packaged model with the code that it brings, and separates mixtures until standard input ends.

Imports only the standard library before it has read its settings. They are the first line of standard input, a JSON
object:

- ``path``: the value of ``sys.path``, which begins with the folder of the copied package.
- ``loader``: module that loads the model; ``data``: folder that it loads from.
- ``compiled``: an empty folder.

The answer is one line, ``{"signal": ...}`` or ``{"error": ..., "missing": ...}``. Then each request is a line
``{"bytes": ..., "params": ...}`` and an NPY file of mixtures ``[batch, channel, *signal]``. Its answer is a line
``{"bytes": ...}`` and an NPY file of estimates ``[batch, source, channel, *signal]``, or a line ``{"error": ...}``.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import os
import sys
from typing import Any, BinaryIO

LIBRARIES = ("numpy", "safetensors.torch", "torch")


def main() -> None:
    """Run the script."""
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a separator that prints must not write between the answers
    settings = json.loads(requests.readline())
    sys.path[:] = settings["path"]
    try:
        for name in LIBRARIES:  # imported from their compiled files: without those torch takes seconds more
            importlib.import_module(name)
        sys.pycache_prefix = settings["compiled"]  # an empty folder: no compiled file beside the model's source is read
        model = importlib.import_module(settings["loader"])._load_pyfunc(settings["data"])
        model = getattr(model, "model", model)  # the model without a server's limits
        signal = dataclasses.asdict(model.signal)
    except Exception as error:
        _say(answers, _told(error))
        return
    _say(answers, {"signal": signal})
    while line := requests.readline():
        request = json.loads(line)
        content = requests.read(request["bytes"])
        try:
            estimates = _separate(model, content, request["params"])
        except Exception as error:
            _say(answers, _told(error))
        else:
            _say(answers, {"bytes": len(estimates)}, estimates)


def _separate(model: Any, mixtures: bytes, params: dict[str, Any]) -> bytes:
    numpy = importlib.import_module("numpy")
    content = io.BytesIO()
    numpy.save(content, model.predict(numpy.load(io.BytesIO(mixtures), allow_pickle=False), params), allow_pickle=False)
    return content.getvalue()


def _told(error: Exception) -> dict[str, Any]:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    return {"error": f"{type(error).__name__}: {error}", "missing": missing}


def _say(answers: BinaryIO, told: dict[str, Any], content: bytes = b"") -> None:
    answers.write(json.dumps(told).encode() + b"\n" + content)
    answers.flush()


if __name__ == "__main__":
    main()
