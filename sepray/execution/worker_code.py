"""Collects the user's code for the workers of a cluster: source files of local modules, and nothing else."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_CODE = (".py", ".so", ".pyd")
_INSTALLED = {"site-packages", "dist-packages"}
_NO_CODE = {"__pycache__", "node_modules"}


@dataclass(frozen=True)
class Shipment:
    """Copies of modules that workers are sent.

    Attributes:
        paths: a file or a folder for each top-level module, as Ray's ``py_modules`` takes them.
        names: names of these modules, sorted.
        files: number of files.
        size: bytes of all files.
    """

    paths: list[str]
    names: list[str]
    files: int
    size: int

    def in_words(self) -> str:
        """Return the modules that are sent, and their size: ``sepray, helpers (12 files, 0.3 MB)``."""
        own = sorted(set(self.names) - {"sepray"})
        names = ", ".join([*(["sepray"] if "sepray" in self.names else []), *own])
        return f"{names} ({self.files} {'file' if self.files == 1 else 'files'}, {self.size / 1e6:.1f} MB)"


@contextlib.contextmanager
def shipment(modules: Iterable[str]) -> Iterator[Shipment]:
    """Copy the code that workers need into a folder that is there until the block ends.

    That is the top-level packages of ``modules``, and every local module that this process has imported: one that lies
    neither in the standard library nor where installers put libraries. Of a package that is not installed its source
    and compiled files are copied, because anything may lie beside them: data, secrets, ``.git``. Of an installed one
    its data files are copied too.

    Args:
        modules: names of modules; the script itself, ``__main__``, is left out.

    Yields:
        What was copied.
    """
    asked = {name.partition(".")[0] for name in modules} - {"__main__"}
    for name in asked:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="sepray-code-") as folder:
        paths = []
        for name in sorted(asked | _local()):
            target = _copy(name, Path(folder))
            if target is not None:
                paths.append(target)
        files = [path for target in paths for path in (target.rglob("*") if target.is_dir() else [target])]
        sizes = [path.stat().st_size for path in files if path.is_file()]
        yield Shipment([str(path) for path in paths], [path.stem for path in paths], len(sizes), sum(sizes))


def _local() -> set[str]:
    """Return the top-level names of the local modules that this process has imported."""
    found = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        top = name.partition(".")[0]
        if file and not top.startswith("__") and _is_local(top, Path(file)):  # __main__, and copies of it
            found.add(top)
    return found


def _is_local(top: str, file: Path) -> bool:
    """Say whether a module is the user's own: no library, and not Python's."""
    if top in sys.stdlib_module_names or file.suffix not in _CODE or not file.is_file():
        return False
    return not (_is_installed(file) or file.is_relative_to(sysconfig.get_path("stdlib")))


def _is_installed(file: Path) -> bool:
    """Say whether a file lies where installers put libraries, or beside what `pip install --target` has put there."""
    if _INSTALLED & set(file.parts):
        return True
    roots = [Path(folder) for folder in sys.path if folder and file.is_relative_to(folder)]
    return any(any(root.glob("*.dist-info")) for root in roots)


def _copy(name: str, folder: Path) -> Path | None:
    """Copy a top-level module into a folder; return the copy, None if it has no file of its own."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if hasattr(module, "__path__"):
        target = folder / name
        if file:
            _copy_package(Path(file).parent, target)
        else:  # without __init__.py, perhaps a whole project: only what was imported
            _copy_imported(name, target)
        return target if target.exists() else None
    if not file or Path(file).suffix != ".py":  # Ray takes folders and Python files
        return None
    return Path(shutil.copy(file, folder / f"{name}.py"))


def _copy_package(source: Path, target: Path) -> None:
    """Copy the files of a package and its sub-packages."""
    is_installed = _is_installed(source / "__init__.py")
    for root, folders, names in os.walk(source):
        inner = [f for f in folders if not f.startswith(".") and f not in _NO_CODE]
        folders[:] = [f for f in inner if not (Path(root) / f / "pyvenv.cfg").exists()]
        for name in names:
            path = Path(root) / name
            if (path.suffix in _CODE or (is_installed and path.suffix != ".pyc")) and path.is_file():
                copy = target / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)


def _copy_imported(name: str, target: Path) -> None:
    """Copy the imported modules of a package that has no ``__init__.py``."""
    for inner, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not inner.startswith(f"{name}.") or not file or Path(file).suffix not in _CODE:
            continue
        parts = inner.split(".")[1:]
        root = target.joinpath(*parts) if hasattr(module, "__path__") else target.joinpath(*parts[:-1])
        root.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, root / Path(file).name)
