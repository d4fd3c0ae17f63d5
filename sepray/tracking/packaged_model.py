"""A packaged model in a local folder, loaded without MLflow, which takes seconds, and without pickle.

Where the source files in it are what is installed here, what is installed here builds the separator from JSON and
safetensors. Other source files run in a process of their own, and only where the user trusts them (``trust``).
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import math
import pwd
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from .. import registry
from ..disk import temporary
from ..disk.files import open_regular
from ..errors import UsageError, mask
from ..modules import own_modules
from ..plain_text import in_one_line
from . import model_code, model_metadata, trust

if TYPE_CHECKING:  # they bring torch
    from ..contracts import Signal
    from .loader import SeparationModel
    from .model_process import ModelProcess

DESCRIPTION = "MLmodel"
"""Name of the file, in the folder of a packaged model, that describes it."""
DIGEST = "digest"
"""Key of the metadata that only the models of sepray have."""
SIGNATURE = "signature"
"""Key of the metadata with the signature of the digest and of all other metadata."""
_DATA, _WEIGHTS = "data/separator", "weights.safetensors"
_MOST_VALUES = 1 << 28  # of an item that a model was trained on: a gigabyte
_NAMED = 5  # files that differ
_LARGEST_DESCRIPTION = 1 << 24  # bytes
_DEEPEST = 50  # levels of it

_log = logging.getLogger("sepray.models")  # without a handler of the user's, on standard error

_YAML: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # written in C where PyYAML was built so


class _WithoutMerging(_YAML):  # type: ignore[misc]
    """Reads no merge keys (``<<``), which nobody writes here: nested ones make billions of values while it reads."""

    def flatten_mapping(self, node: Any) -> None:
        """Merge nothing, so that such a key is refused as one of no known kind."""


class ModelError(UsageError):
    """There is no such model, MLflow refused it, or it cannot be loaded; one line, without secrets."""


@dataclass(frozen=True)
class PackagedModel:
    """A packaged model that is loaded.

    Attributes:
        folder: folder that it was loaded from.
        metadata: values that it was packaged with: sources, sample rate, task, study, digest.
        run_id: MLflow run that it was logged into; None for none.
        separation: separator of the model, and the kind of signal that it was built for.
    """

    folder: Path
    metadata: Mapping[str, Any]
    run_id: str | None
    separation: SeparationModel | ModelProcess = field(repr=False)

    def predict(self, data: np.ndarray, params: Mapping[str, Any] | None = None) -> np.ndarray:
        """Separate ``[batch, channel, *signal]`` into ``[batch, source, channel, *signal]``, both float32.

        Args:
            data: mixtures.
            params: ``{"device": "cuda"}``; "auto" (default) is an accelerator where there is one.

        Raises:
            ModelError: another number of channels or axes than the model takes.
        """
        signal = self.separation.signal
        if data.ndim != 2 + len(signal.shape) or data.shape[1] != signal.channels:
            axes = "time" if len(signal.shape) == 1 else "height, width"
            count = f"{signal.channels} channel{'s' * (signal.channels != 1)}"
            raise ModelError(f"the model takes mixtures [batch, channel, {axes}] of {count}, not {list(data.shape)}")
        return self.separation.predict(data, params)


def describe_folder(folder: Path, name: str) -> tuple[dict[str, Any], str | None]:
    """Return the metadata of a packaged model and the id of its run, without loading it.

    Args:
        folder: folder with the file ``MLmodel``.
        name: what messages call the model.

    Raises:
        ModelError: the file cannot be read, or sepray has not packaged the model.
    """
    described = _read(folder, name)
    return dict(described["metadata"]), described.get("run_id")


def load_folder(folder: Path, name: str, author: Callable[[str | None], str] | None = None) -> PackagedModel:
    """Load a packaged model.

    Args:
        folder: folder with the file ``MLmodel``.
        name: what messages call the model.
        author: says of the id of the model's run whose it is, in words; default: who owns the folder.

    Raises:
        ModelError: sepray has not packaged the model, it is not what was packaged, its code is not trusted, or it
            cannot be loaded here (a library that it needs is missing, a file is damaged); the original error is its
            cause.
    """
    described = _read(folder, name)
    whose = (lambda: author(described.get("run_id"))) if author else lambda: _owner(folder)
    with temporary.folder("sepray-model-") as copy:
        data = Path(copy)  # a copy: who may write to the model's folder could change what was looked at before its use
        with _refused(name):
            code = model_code.read(folder, described["flavors"]["python_function"])
            _copy_files(folder / _DATA, data)
            digest, differing = model_code.content_digest(code, data), code.differences()
        signed = _require_sealed(name, digest, described["metadata"])
        is_here = set(differing) <= {model_code.OWN_LOADER} and _may_import(name, code, data, signed, differing, whose)
        if not is_here and differing:
            _require_trusted(name, folder, code, signed, differing, whose)
        with _refused(name):
            separation = _separation(code, data, is_here)
        _check_signal(name, separation.signal)
    return PackagedModel(folder, dict(described["metadata"]), described.get("run_id"), separation)


def _copy_files(folder: Path, to: Path) -> None:
    """Copy the files of a folder.

    Raises:
        ValueError: there is no room for them, or one is too large to describe anything: a file of holes may seem to
            have any size.
    """
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    if sum(sizes.values()) > shutil.disk_usage(to).free // 2:
        raise ValueError(f"there is no room in {to.parent} for a copy of its {sum(sizes.values())} bytes")
    if large := [name for name, size in sizes.items() if size > _LARGEST_DESCRIPTION and name != _WEIGHTS]:
        raise ValueError(f"its file {large[0]} is too large")
    for path in folder.iterdir():
        if path.is_file():
            with open_regular(path, follow=True) as source, (to / path.name).open("xb") as target:
                shutil.copyfileobj(source, target)


def is_sealed(folder: Path, name: str) -> bool:
    """Say whether a folder holds a model with the code, configuration and weights that it was packaged with.

    Args:
        folder: folder with the file ``MLmodel``.
        name: what messages call the model.

    Raises:
        ModelError: the file cannot be read, or sepray has not packaged the model.
        OSError, ValueError: the model's files cannot be read.
    """
    described = _read(folder, name)
    code = model_code.read(folder, described["flavors"]["python_function"])
    return bool(described["metadata"][DIGEST] == model_code.content_digest(code, folder / _DATA))


def _separation(code: model_code.ModelCode, data: Path, is_here: bool) -> SeparationModel | ModelProcess:
    if not is_here:
        from .model_process import ModelProcess

        return ModelProcess(code, data)
    from . import loader

    temporary.keep_compiled_private()
    return loader.load(str(data), importlib.import_module(_module(code, data)).Config)


def _check_signal(name: str, signal: Signal) -> None:
    """Refuse a model whose signal is impossible: separation would fail late, or take all of the memory.

    Raises:
        ModelError: the signal is impossible.
    """
    from .. import signal_checks

    try:
        signal_checks.check_signal(signal, any_names=True)
        if math.prod(signal.shape) * signal.channels > _MOST_VALUES:
            raise UsageError(f"signal.shape {signal.shape!r} of {signal.channels!r} channels is longer than any")
    except UsageError as error:
        raise ModelError(f"{name} cannot be loaded: {in_one_line(str(error))[:500]}") from None


def _module(code: model_code.ModelCode, data: Path) -> str:
    """Return the name here of the module that a model's separator is in.

    Raises:
        ValueError: the model has no such module.
    """
    module = model_code.described(data)["module"]
    if not isinstance(module, str) or not code.has_module(module):
        raise ValueError(f"it has no module {module}")
    return model_code.module_here(module)


def _may_import(
    name: str, code: model_code.ModelCode, data: Path, signed: bool, differing: list[str], author: Callable[[], str]
) -> bool:
    """Say whether this process may import the separator's module, which is installed here.

    Any installed module could be named, also one that does things when it is imported. What no separator of sepray, no
    package and no command of this user's names is not imported here; a consent starts a process of its own for it.

    Raises:
        ModelError: the process may not, and the user has not consented; or the model has no such module.
    """
    with _refused(name):
        module = _module(code, data)
    if trust.is_own(code.digest) or signed:
        return True
    try:
        registry.require_named("sepray.separators", module)
    except registry.UnknownNameError:
        if trust.consented():
            return False
        beside = f". The latter runs its own {', '.join(differing)}, which is not what is installed here, as you"
        raise ModelError(
            f"{name} ({author()}) would import {module}, which no command of yours has named here. If you know it: "
            f"{own_modules.how_to_trust(module)}, or --trust-model-code (Python: trust_model_code=True; any command: "
            f"{trust.CONSENT}=1){beside if differing else ''}"
        ) from None
    return True


def _require_sealed(name: str, digest: str, metadata: Mapping[str, Any]) -> bool:
    """Refuse a model that is not what was packaged, or that the user's key has not signed; say whether it has.

    Raises:
        ModelError: the model is not what was packaged, or the user's key has not signed it.
    """
    if metadata[DIGEST] != digest:
        raise ModelError(f"{name} cannot be loaded: its files are not those that were packaged (another digest)")
    facts = {name: value for name, value in metadata.items() if name not in (DIGEST, SIGNATURE)}
    signed = trust.is_signed(digest, metadata.get(SIGNATURE), facts)
    if signed is False and not trust.consented():
        if trust.is_former(metadata.get(SIGNATURE)):
            raise ModelError(
                f"{name} has a signature of an older version of sepray, which leaves metadata out: unset {trust.KEY}, "
                "or give --trust-model-code (Python: trust_model_code=True) if you know who made the model"
            )
        how = "is signed with another key than" if SIGNATURE in metadata else "is not signed with the key of"
        raise ModelError(
            f"{name} {how} {trust.KEY}: unset it, or give --trust-model-code (Python: trust_model_code=True) if you "
            "know who made the model"
        )
    return signed is True


def _require_trusted(
    name: str, folder: Path, code: model_code.ModelCode, signed: bool, differing: list[str], author: Callable[[], str]
) -> None:
    """Refuse code that is not what is installed here, unless this user's studies wrote it, or the user trusts it.

    What differs is named wherever it runs by a consent.

    Raises:
        ModelError: the code is not trusted; the message says whose model it is and what differs.
    """
    if trust.is_own(code.digest) or signed:
        return
    more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
    told = f"{name} ({author()}) brings code that is not what is installed here: {', '.join(differing[:_NAMED])}{more}"
    if not trust.consented():
        raise ModelError(
            f"{told}. It would run as you: read {folder / 'code'}, and give --trust-model-code (Python: "
            f"trust_model_code=True; any command: {trust.CONSENT}=1) if you trust it"
        )
    _log.warning("%s; it runs in a process of its own", in_one_line(told))


def _owner(folder: Path) -> str:
    """Return whose a folder is, in words."""
    number = (folder / DESCRIPTION).stat().st_uid
    try:
        return f"files of {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"files of user {number}"


def _read(folder: Path, name: str) -> dict[str, Any]:
    """Return the content of the file ``MLmodel``.

    Raises:
        ModelError: the file cannot be read, describes no Python function, or is not sepray's.
    """
    with _refused(name):
        with open_regular(folder / DESCRIPTION, follow=True) as file:
            text = file.read(_LARGEST_DESCRIPTION + 1).decode()
        if len(text) > _LARGEST_DESCRIPTION:
            raise ModelError(f"{name} cannot be loaded: its file {DESCRIPTION} is larger than any description")
        _refuse_deep(text, name)
        described: Any = yaml.load(text, _WithoutMerging)
        if not model_metadata.is_bounded(described):
            raise ModelError(f"{name} cannot be loaded: its file {DESCRIPTION} repeats itself without end or measure")
    flavors = described.get("flavors") if isinstance(described, dict) else None
    function = flavors.get("python_function") if isinstance(flavors, dict) else None
    if not function or not isinstance(function, dict):
        raise ModelError(f"{name} cannot be loaded: its file {DESCRIPTION} describes no model of Python")
    metadata = described.get("metadata") or {}
    if not isinstance(metadata, dict) or DIGEST not in metadata:
        raise ModelError(f"{name} is a model of MLflow, but not one that sepray packaged")
    if wrong := model_metadata.wrong(metadata):
        raise ModelError(
            f"{name} cannot be loaded: its file {DESCRIPTION} says a {wrong} that sepray does not write; use "
            "another version"
        )
    if not isinstance(described.get("run_id"), str | None):
        raise ModelError(f"{name} cannot be loaded: its file {DESCRIPTION} says a run that is none of MLflow's")
    content: dict[str, Any] = described
    return content


def _refuse_deep(text: str, name: str) -> None:
    """Refuse YAML of many levels, by what its parser yields one after the other: to build it ends the process.

    Raises:
        ModelError: it has too many.
    """
    level = 0
    for event in yaml.parse(text, _YAML):
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > _DEEPEST:
            raise ModelError(f"{name} cannot be loaded: its file {DESCRIPTION} has more than {_DEEPEST} levels")


@contextlib.contextmanager
def _refused(name: str) -> Iterator[None]:
    """Turn every error of a model's own files and code into a ModelError that names the model."""
    try:
        yield
    except ModelError:
        raise
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{name} cannot be loaded: it needs the module {error.name}, which is not installed"
        ) from error
    except Exception as error:
        kind = "" if type(error).__name__ == "ModelProcessError" else f"{type(error).__name__}: "  # which says it
        lines = mask(str(error)).strip().splitlines() or [""]
        raise ModelError(f"{name} cannot be loaded: {kind}{lines[0][:500]}") from error
