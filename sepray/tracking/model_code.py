"""Reads the source files in a packaged model, and compares them with the files here that they were copied from.

Source files run with all the rights of the user who loads the model. If they equal the files that are installed here,
those run instead, and only JSON and safetensors of the model are used.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from . import sources

_LOADER = re.compile(rf"({sources.OWN}_model_[0-9a-f]{{12}})\.tracking\.loader")
OWN_LOADER = "tracking/loader.py"
"""File that loads the model. If it is the only file that differs, the one here may load the model instead."""
_COMPILED = "__pycache__"  # never read, never copied
_MOST_FILES, _MOST_BYTES = 10_000, 1 << 28  # limits of a model's code and the data files of its packages


@dataclass(frozen=True)
class ModelCode:
    """Source files of a packaged model.

    Attributes:
        package: name of the package that holds them.
        files: path in the package, with slashes -> content.
    """

    package: str
    files: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        """SHA-256 of names and contents."""
        digest = hashlib.sha256(self.package.encode())
        for name, content in sorted(self.files.items()):
            digest.update(b"\0" + name.encode() + b"\0" + hashlib.sha256(content).digest())
        return digest.hexdigest()

    @property
    def loader(self) -> str:
        """Name of the module that loads the model."""
        return f"{self.package}.tracking.loader"

    def has_module(self, name: str) -> bool:
        """Say whether a module, by its name in the package, is one of the files."""
        path = name.replace(".", "/")
        return f"{path}.py" in self.files or f"{path}/__init__.py" in self.files

    def differences(self) -> list[str]:
        """Return the files that differ from those that are installed here, or are not installed, sorted.

        Nothing is imported.
        """
        tops = {PurePosixPath(name).parts[1].removesuffix(".py") for name in self.files if name.startswith("user/")}
        own = {sources.OWN, *tops}
        return sorted(name for name, content in self.files.items() if not self._is_here(name, content, own))

    def write(self, folder: Path) -> None:
        """Write the package into a folder."""
        for name, content in self.files.items():
            path = folder / self.package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def _is_here(self, name: str, content: bytes, own: set[str]) -> bool:
        if name.endswith("__init__.py") and not content:
            return True
        path = _here(PurePosixPath(name))
        try:
            if path is None:
                return False
            if path.suffix != ".py":
                return path.read_bytes() == content
            return sources.rewritten(path, own, self.package) == content
        except OSError:
            return False


def read(folder: Path, function: Mapping[str, Any]) -> ModelCode:
    """Read the source files of a packaged model, without importing any.

    Args:
        folder: folder of the model.
        function: its flavour ``python_function``, from the file MLmodel.

    Raises:
        ValueError: the model has other code than the one package that sepray puts there.
        OSError: a file cannot be read.
    """
    match = _LOADER.fullmatch(str(function.get("loader_module")))
    if match is None:
        raise ValueError("its loader is not the one that sepray packages")
    code = folder / "code"
    found = {path.name for path in code.iterdir()} - {_COMPILED}
    if function.get("code", "code") != "code" or found != {match[1]}:
        raise ValueError("it brings modules beside its own package")
    package = code / match[1]
    if package.is_symlink():
        raise ValueError("its package is a link")
    below = list(itertools.islice(package.rglob("*"), _MOST_FILES + 1))
    paths = [path for path in below if path.is_file() and _COMPILED not in path.parts]
    if len(below) > _MOST_FILES or sum(path.stat().st_size for path in paths) > _MOST_BYTES:
        raise ValueError("its code has more files, or larger ones, than sepray packages")
    return ModelCode(match[1], {path.relative_to(package).as_posix(): path.read_bytes() for path in paths})


def content_digest(code: ModelCode, data: Path) -> str:
    """Return the SHA-256 of code, configuration and weights, which a model's metadata hold as its digest.

    Args:
        code: the source files.
        data: folder with ``separator.json`` and ``weights.safetensors``.
    """
    digest = hashlib.sha256()
    for name, content in sorted((Path("code", code.package, name), content) for name, content in code.files.items()):
        digest.update(str(name).encode() + b"\0" + content + b"\0")
    for path in sorted(path for path in data.iterdir() if path.is_file()):  # "separator" sorts after "code"
        digest.update(str(Path("separator", path.name)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def described(data: Path) -> dict[str, Any]:
    """Return the content of ``separator.json``: the separator's module, configuration and signal, as JSON values.

    The module is given by its name in the package.

    Args:
        data: folder with ``separator.json``.

    Raises:
        ValueError: the file describes no separator.
        OSError: the file cannot be read.
    """
    try:
        description: Any = json.loads((data / "separator.json").read_text(encoding="utf-8"))
    except RecursionError:
        description = None
    if not isinstance(description, dict) or not {"module", "config", "signal"} <= description.keys():
        raise ValueError("its separator.json describes no separator")
    return description


def module_here(name: str) -> str:
    """Return the name that a module has here, given its name in the package of a model."""
    return name.removeprefix("user.") if name.startswith("user.") else f"{sources.OWN}.{name}"


def _here(name: PurePosixPath) -> Path | None:
    """Return the file here that a file of a model's package would have been copied from; None if there is none."""
    top, *inner = name.parts[1:] if name.parts[0] == "user" else (sources.OWN, *name.parts)
    try:
        spec = importlib.util.find_spec(top.removesuffix(".py"))  # imports nothing, because it has no dots
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not inner:
        return Path(spec.origin) if spec.origin and spec.has_location else None
    candidates = [Path(candidate, *inner) for candidate in spec.submodule_search_locations or ()]
    return next((candidate for candidate in candidates if candidate.is_file()), None)
