"""Loads a model in a process of its own, which separates with it, if its code is not what is installed here.

That keeps the code out of this process, and this process's secrets out of the code's environment. It does not confine
the code, which runs as the same user. So the process is started only for code that is trusted (``trust``).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..contracts import Signal
from ..disk import temporary
from . import separate_alone, sources
from .model_code import ModelCode

_PASSED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME")
_PASSED_GROUPS = ("LC_", "OMP_", "MKL_", "OPENBLAS_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "TORCH_", "PYTORCH_")


class ModelProcessError(RuntimeError):
    """The model's code raised an error, whose kind and message this one has, or its process has ended."""


class ModelProcess:
    """A separator in another process, which ends with this object.

    Attributes:
        signal: names of the sources, channels, sample rate.
    """

    def __init__(self, code: ModelCode, data: Path) -> None:
        """Start the process and load the model.

        Args:
            code: the model's source files. They are written to a new folder, so that the files that run are those that
                were checked.
            data: folder with ``separator.json`` and ``weights.safetensors``.

        Raises:
            ModuleNotFoundError: the model needs a module that is not installed.
            ModelProcessError: its code raised something else.
            OSError: the process cannot be started.
        """
        folder = temporary.make("sepray-model-")
        code.write(Path(folder))
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", separate_alone.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={k: v for k, v in os.environ.items() if k in _PASSED or k.startswith(_PASSED_GROUPS)}
            | {"TORCHINDUCTOR_CACHE_DIR": os.path.join(folder, "inductor")},
        )
        self._finalizer = weakref.finalize(self, _end, self._process, folder)
        path = [folder, *(entry for entry in sys.path if _is_library(entry))]
        settings = {"path": path, "loader": code.loader, "data": str(data.resolve())}
        found = self._answer({**settings, "compiled": os.path.join(folder, "compiled")})
        signal = found["signal"]
        sources_of, shape = tuple(map(str, signal["sources"])), tuple(map(int, signal["shape"]))
        own = signal.get("component_channels")  # older models lack it
        self.signal = Signal(
            sources_of, int(signal["channels"]), shape, signal["sample_rate"], component_channels=own and int(own)
        )

    def predict(self, data: np.ndarray, params: Mapping[str, Any] | None = None) -> np.ndarray:
        """Separate ``[batch, channel, *signal]`` into ``[batch, source, channel, *signal]``, both float32.

        Args:
            data: mixtures.
            params: ``{"device": "cuda"}``; "auto" (default) is an accelerator if there is one.

        Raises:
            ModelProcessError: the model's code raised an error, or its process has ended.
        """
        content = io.BytesIO()
        np.save(content, np.asarray(data, dtype=np.float32), allow_pickle=False)
        sent = content.getvalue()
        with self._lock:
            found = self._answer({"bytes": len(sent), "params": dict(params or {})}, sent)
            assert self._process.stdout is not None
            received = self._process.stdout.read(int(found["bytes"]))
        return np.asarray(np.load(io.BytesIO(received), allow_pickle=False), dtype=np.float32)

    def _answer(self, request: Mapping[str, Any], content: bytes = b"") -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n" + content)
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        except (OSError, ValueError):
            raise ModelProcessError(f"the model's process has ended ({self._process.wait()})") from None
        if answer.get("missing"):
            raise ModuleNotFoundError(answer["error"], name=str(answer["missing"]))
        if "error" in answer:
            raise ModelProcessError(str(answer["error"]))
        return answer


def _is_library(entry: str) -> bool:
    """Say whether an entry of ``sys.path`` holds installed modules, and not the user's own."""
    return bool(entry) and (sources.is_installed(Path(entry)) or entry.startswith((sys.prefix, sys.base_prefix)))


def _end(process: subprocess.Popen[bytes], folder: str) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):  # the process has ended before it read what was written
                stream.close()
    process.kill()
    process.wait()
    temporary.remove(folder)
