"""``sepray doctor``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import processor
from ..console import preflight
from ..console.output import say
from ..disk.shared_copies import is_uri, local_folder
from ..errors import UsageError, mask
from ..tracking.environment import resolve_uri
from . import application

_ENOUGH_GIB = 2.0


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        what: name of what was checked.
        found: its version, size or address, or what is wrong with it.
        state: ``ok``; ``missing`` if something is missing that studies need; ``note`` if not everybody needs it.
        remedy: what to do about it; empty if there is nothing to do.
    """

    what: str
    found: str
    state: str = "ok"
    remedy: str = ""


@application.command("doctor")
def doctor(
    storage: application.Storage = application.STORAGE,
    tracking_uri: application.TrackingUri = None,
    storage_path: application.StoragePath = application.STORAGE_PATH,
    cache: application.Cache = application.CACHE,
    json: application.Json = False,
    quiet: application.Switch = False,
) -> int:
    """Check that this machine has what studies need: packages, devices, tools, folders, disk, storage and MLflow.

    The command says how to get what is missing. The exit status is 1 if something that is needed is missing.

    Example: sepray doctor --tracking-uri http://127.0.0.1:5000

    Args:
        quiet: Print only what is missing.
    """
    where = str(cache if is_uri(cache) else local_folder(cache))
    findings = [
        *_packages(),
        *_devices(),
        *_tools(),
        *_folders({"results": storage_path, "data cache": where, "this folder": "."}),
        _storage(storage),
        _tracking(tracking_uri),
    ]
    missing = [f for f in findings if f.state == "missing"]
    if json:
        application.print_json({"ok": not missing, "findings": [asdict(f) for f in findings]})
    else:
        signs = {"ok": "ok     ", "note": "note   ", "missing": "MISSING"}
        width = max(len(f.what) for f in findings)
        for finding in missing if quiet else findings:
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            say(f"{signs[finding.state]} {finding.what:{width}} {finding.found}{remedy}")
        if not quiet:
            print(f"\n{len(missing)} of {len(findings)} are missing" if missing else "\neverything needed is here")
    return 1 if missing else 0


def _packages() -> Iterator[Finding]:
    """Compare the installed versions with those that sepray's metadata asks for."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    wanted = importlib.metadata.metadata("sepray")["Requires-Python"] or ""
    python = platform.python_version()
    fits = SpecifierSet(wanted).contains(python)
    yield Finding("python", python, "ok" if fits else "missing", "" if fits else f"use Python {wanted}")
    for text in importlib.metadata.requires("sepray") or ():
        requirement = Requirement(text)
        needed, chosen = (not (m := requirement.marker) or m.evaluate({"extra": e}) for e in ("", "bss-eval"))
        if needed or chosen:  # the other extras are for clusters, some tasks, tests and developers
            yield _package(requirement.name, requirement.specifier, needed)


def _package(name: str, wanted: Any, needed: bool) -> Finding:
    bad = "missing" if needed else "note"
    install = f"pip install '{name}{wanted}'"
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "not installed", bad, install)
    if not wanted.contains(version, prereleases=True):
        return Finding(name, f"{version}, not {wanted}", bad, install)
    return Finding(name, version)


def _devices() -> Iterator[Finding]:
    cpus = processor.cpus()
    limits = [f"{n}={os.environ[n]}" for n in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if n in os.environ]
    yield Finding("CPUs", f"{cpus} for this process" + "".join(f", {limit}" for limit in limits))
    yield Finding("memory", f"{_gib(_memory()):.1f} GiB")
    try:
        import torch
    except ImportError as error:
        yield Finding("torch", f"cannot be imported: {error}", "missing", "install it again")
        return
    yield Finding("torch threads", str(torch.get_num_threads()))
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for k in range(count):
        properties = torch.cuda.get_device_properties(k)
        yield Finding(f"cuda:{k}", f"{properties.name}, {_gib(properties.total_memory):.0f} GiB")
    if torch.backends.mps.is_available():
        yield Finding("mps", "Apple GPU")
    if not count:
        built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is built without CUDA"
        yield Finding("GPU", f"none that torch can use; {built}", "note", "studies run on the CPUs")


def _tools() -> Iterator[Finding]:
    for tool in ("ffmpeg", "ffprobe"):
        path = shutil.which(tool)
        remedy = "" if path else "needed by museval (BSS Eval) only: apt install ffmpeg, or brew install ffmpeg"
        yield Finding(tool, _version(path) if path else "not on the PATH", "ok" if path else "note", remedy)
    entry = shutil.which("sepray") or ""
    yield Finding("sepray", f"{importlib.metadata.version('sepray')} {entry or sys.argv[0]}")


def _version(tool: str) -> str:
    try:
        printed = subprocess.run([tool, "-version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, ValueError, subprocess.SubprocessError):  # the tool cannot be run, hangs, or prints no text
        return "unknown version"
    return " ".join(printed.split()[2:3]) or "unknown version"


def _folders(folders: dict[str, str]) -> Iterator[Finding]:
    for what, folder in folders.items():
        if "://" in folder:
            yield Finding(what, f"{mask(folder)} is remote; a study checks it when it starts", "note")
            continue
        path = Path(folder).absolute()
        try:
            preflight.require_writable(path)
        except UsageError as error:
            yield Finding(what, str(error), "missing", f"choose another folder for the {what}")
            continue
        existing = next(p for p in (path, *path.parents) if p.exists())
        free = _gib(shutil.disk_usage(existing).free)
        low = free < _ENOUGH_GIB
        remedy = f"make room: studies need about {_ENOUGH_GIB:g} GiB" if low else ""
        yield Finding(what, f"{path}, {free:.1f} GiB free", "missing" if low else "ok", remedy)


def _storage(url: str) -> Finding:
    found = _address("Optuna storage", url)
    try:
        preflight.require_driver(url, mask(url))
    except UsageError as error:
        return Finding(found.what, str(error), "missing")
    return found


def _tracking(uri: str | None) -> Finding:
    try:
        return _address("MLflow", resolve_uri(uri))
    except UsageError as error:
        return Finding("MLflow", str(error), "missing")


def _address(what: str, url: str) -> Finding:
    shown = mask(url)
    file = url.removeprefix("sqlite:///")
    if file != url:
        if not Path(file).exists():
            return Finding(what, f"{shown} does not exist yet; the first study makes it", "note")
        try:
            preflight.require_database(url, shown)
        except UsageError as error:
            return Finding(what, str(error), "missing", "move it away, or give another address")
        return Finding(what, shown)
    try:
        preflight.require_listening(url, shown)
    except ConnectionError as error:
        return Finding(what, str(error), "missing", "start it, or give another address")
    return Finding(what, f"{shown} answers" if "://" in url and not url.startswith("journal") else shown)


def _memory() -> int:
    import psutil

    return int(psutil.virtual_memory().total)


def _gib(size: float) -> float:
    return size / 2**30
