"""Loads a packaged model from a local folder, without MLflow, whose import takes seconds, and without pickle.

If the source files in it equal those that are installed here, the latter build the separator from JSON and safetensors.
Other source files run in a process of their own, and only if the user trusts them (``trust``).
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
_MOST_VALUES = 1 << 28  # values of an item that a model was trained on: a gigabyte
_NAMED = 5  # differing files that a message names
_LARGEST_DESCRIPTION = 1 << 24  # bytes of the file MLmodel
_DEEPEST = 50  # levels of the file MLmodel

_log = logging.getLogger("sepray.models")  # goes to standard error, unless the user has set a handler

_YAML: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C, if PyYAML was built with it


class _WithoutMerging(_YAML):  # type: ignore[misc]
    """Reads YAML without merge keys (``<<``): nested ones make billions of values, and no model has any."""

    def flatten_mapping(self, node: Any) -> None:
        """Merge nothing; PyYAML then refuses a merge key as a value of an unknown kind."""


class ModelError(UsageError):
    """There is no such model, MLflow refused it, or it cannot be loaded; one line, without secrets."""


@dataclass(frozen=True)
class PackagedModel:
    """A packaged model that is loaded.

    Attributes:
        folder: folder that it was loaded from.
        metadata: values that it was packaged with: sources, sample rate, task, study, digest.
        run_id: MLflow run that it was logged into; None for none.
        separation: the loaded separator, in this process or in one of its own.
    """

    folder: Path
    metadata: Mapping[str, Any]
    run_id: str | None
    separation: SeparationModel | ModelProcess = field(repr=False)

    def predict(self, data: np.ndarray, params: Mapping[str, Any] | None = None) -> np.ndarray:
        """Separate ``[batch, channel, *signal]`` into ``[batch, source, channel, *signal]``, both float32.

        Args:
            data: mixtures.
            params: ``{"device": "cuda"}``; "auto" (default) is an accelerator if there is one.

        Raises:
            ModelError: the mixtures have another number of channels or axes than the model takes.
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
        author: returns in words who made the model, given the id of its run; default: the owner of the folder.

    Raises:
        ModelError: sepray has not packaged the model, its files are not those that were packaged, its code is not
            trusted, or it cannot be loaded here: a library is missing, or a file is damaged. The original error is its
            cause.
    """
    described = _read(folder, name)
    whose = (lambda: author(described.get("run_id"))) if author else lambda: _owner(folder)
    with temporary.folder("sepray-model-") as copy:
        data = Path(copy)  # whoever may write to the model's folder could change the files after they were checked
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
        ValueError: there is no room for them, or one other than the weights is too large: a sparse file may seem to
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
    """Refuse a model whose signal is impossible: separation would fail late, or fill the memory.

    Raises:
        ModelError: the signal is impossible.
    """
    from .. import signal_checks

    try:
        signal_checks.check_signal(signal, any_names=True)
        if math.prod(signal.shape) * signal.channels > _MOST_VALUES:
            raise UsageError(f"signal.shape {signal.shape!r} of {signal.channels!r} channels is too large")
    except UsageError as error:
        raise ModelError(f"{name} cannot be loaded: {in_one_line(str(error))[:500]}") from None


def _module(code: model_code.ModelCode, data: Path) -> str:
    """Return the name that the module of a model's separator has here.

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

    A model could name any installed module, even one that does things when it is imported. So a module is imported here
    only if it is sepray's, a plug-in's, or one that a command of this user has named (``registry.require_named``). With
    the user's consent any other is imported in a process of its own.

    Raises:
        ModelError: the module may not be imported, and the user has not consented; or the model has no such module.
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
        beside = f". The flag also runs the model's own {', '.join(differing)}, which is not what is installed here"
        raise ModelError(
            f"{name} ({author()}) would import {module}, which no command of yours has named here. If you trust it, "
            f"set {own_modules.how_to_trust(module)}, or give --trust-model-code (Python: trust_model_code=True; any "
            f"command: {trust.CONSENT}=1){beside if differing else ''}"
        ) from None
    return True


def _require_sealed(name: str, digest: str, metadata: Mapping[str, Any]) -> bool:
    """Refuse a model whose files have changed since it was packaged, or that the user's key has not signed.

    Returns:
        Whether the user's key has signed the model; False too if there is no key.

    Raises:
        ModelError: the files have changed, or there is a key and it has not signed the model.
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
    """Refuse code that is not what is installed here, unless this user's studies packaged it, or the user trusts it.

    If it runs because the user consented, a warning names the files that differ.

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
    """Return in words who owns a folder's file ``MLmodel``."""
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
            encoded = file.read(_LARGEST_DESCRIPTION + 1)
        if len(encoded) > _LARGEST_DESCRIPTION:
            raise ModelError(f"{name} cannot be loaded: its file {DESCRIPTION} is too large")
        text = encoded.decode()
        _refuse_deep(text, name)
        described: Any = yaml.load(text, _WithoutMerging)
        if not model_metadata.is_bounded(described):
            raise ModelError(f"{name} cannot be loaded: its file {DESCRIPTION} repeats its values too often")
    flavors = described.get("flavors") if isinstance(described, dict) else None
    function = flavors.get("python_function") if isinstance(flavors, dict) else None
    if not function or not isinstance(function, dict):
        raise ModelError(f"{name} cannot be loaded: its file {DESCRIPTION} describes no Python model")
    metadata = described.get("metadata") or {}
    if not isinstance(metadata, dict) or DIGEST not in metadata:
        raise ModelError(f"{name} is a model of MLflow, but not one that sepray packaged")
    if wrong := model_metadata.wrong(metadata):
        raise ModelError(
            f"{name} cannot be loaded: its file {DESCRIPTION} has a {wrong} that sepray does not write; use another "
            "version"
        )
    if not isinstance(described.get("run_id"), str | None):
        raise ModelError(f"{name} cannot be loaded: its file {DESCRIPTION} has a run_id that is no text")
    content: dict[str, Any] = described
    return content


def _refuse_deep(text: str, name: str) -> None:
    """Refuse YAML with too many levels, which are counted while it is parsed: building its values would crash Python.

    Raises:
        ModelError: it has too many levels.
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
        # A ModelProcessError names the kind of the model's own error.
        kind = "" if type(error).__name__ == "ModelProcessError" else f"{type(error).__name__}: "
        lines = mask(str(error)).strip().splitlines() or [""]
        raise ModelError(f"{name} cannot be loaded: {kind}{lines[0][:500]}") from error
