"""Checks that a separator is as ``contracts`` says: once it is built, and whenever its functions return in a trial.

Such an error has no line of the separator's own file in its traceback, so its message names class and method in a line.
Imports nothing from sepray but the contracts and the errors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from numbers import Integral, Real

from torch import Tensor

from .contracts import Loss, Oracle, Phase, Separator
from .errors import UsageError

_BATCH_SIZE = "the number of items in a batch: add batch_size: int = 32"
_BETAS = "the decay rates of Adam's moments: add betas: tuple[float, float] = (0.9, 0.999)"


def check_dataclass(config: object) -> None:
    """Refuse the configuration of a separator or a task that is no dataclass: its settings could not be told.

    Raises:
        UsageError: the configuration is no dataclass.
    """
    if not dataclasses.is_dataclass(config):
        raise UsageError(f"{full_name(type(config))} must be a dataclass: put @dataclass(frozen=True) above it")


def check_config(config: object) -> None:
    """Check the attributes that a separator's configuration must have beside ``build``.

    Raises:
        UsageError: ``config`` is no dataclass, or ``batch_size`` or ``betas`` is missing or has no valid value.
    """
    check_dataclass(config)
    name = full_name(type(config))
    for attribute, meaning in (("batch_size", _BATCH_SIZE), ("betas", _BETAS)):
        if not hasattr(config, attribute):
            raise UsageError(f"{name} has no {attribute}, {meaning}")
    size, betas = getattr(config, "batch_size"), getattr(config, "betas")  # noqa: B009 - of any class
    if not _is_count(size):
        raise UsageError(f"{name}.batch_size must be a whole number above 0, is {size!r}")
    pair = betas if isinstance(betas, Sequence) and not isinstance(betas, str) else ()
    if len(pair) != 2 or not all(isinstance(beta, Real) and 0 <= float(beta) < 1 for beta in pair):
        raise UsageError(f"{name}.betas must be two numbers, each 0 or above and below 1, is {betas!r}")


def check_separator(separator: Separator) -> None:
    """Check the hyperparameters and phases of a separator that has just been built, without training it.

    Raises:
        UsageError: hyperparameters or phases are not as ``contracts`` says, or nothing would be trained; one line names
            class and method.
    """
    name = full_name(type(separator))
    known = _checked_hyperparameters(name, separator.hyperparameters())
    phases: object = separator.phases()
    if not isinstance(phases, tuple | list):
        raise UsageError(f"{name}.phases() must return a tuple of sepray.contracts.Phase, returns {type_name(phases)}")
    for phase in phases:
        if not isinstance(phase, Phase):
            raise UsageError(f"{name}.phases() must return a tuple of sepray.contracts.Phase, has {type_name(phase)}")
        _check_phase(f"{name}: phase {phase.name!r}", phase, separator, known)
    names = [phase.name for phase in phases]
    if twice := [phase for phase in names if names.count(phase) > 1]:
        raise UsageError(f"{name}: two phases are called {twice[0]!r}; give each a name of its own")
    if not phases and type(separator).fit_epoch is Separator.fit_epoch:
        _check_nothing_to_train(name, separator)


def check_loss(separator: Separator, phase: Phase, loss: object) -> None:
    """Check the result of a phase's loss.

    Raises:
        UsageError: ``loss`` is no ``Loss``, or its total, parts, carry or kept are not as ``Loss`` says.
    """
    if not isinstance(loss, Loss):
        raise _loss_error(separator, phase, f"must return a sepray.contracts.Loss, returns {type_name(loss)}")
    if not isinstance(loss.total, Tensor) or loss.total.numel() != 1:
        raise _loss_error(separator, phase, f"must have a tensor of one number as total, has {type_name(loss.total)}")
    if not loss.total.requires_grad:
        raise _loss_error(separator, phase, "has a total without gradients: it does not depend on any parameter")
    if not isinstance(loss.parts, Mapping):
        raise _loss_error(separator, phase, f"must have a dict of tensors as parts, has {type_name(loss.parts)}")
    for name, part in loss.parts.items():
        if not isinstance(part, Tensor) or part.numel() != 1:
            raise _loss_error(separator, phase, f"must have a tensor of one number as {name!r}, has {type_name(part)}")
    for field, tensors in (("carry", loss.carry), ("kept", loss.kept)):
        if not isinstance(tensors, Mapping):
            raise _loss_error(separator, phase, f"must have a dict of tensors as {field}, has {type_name(tensors)}")
    if unknown := set(loss.kept) - {name for name, _ in separator.named_buffers()}:
        raise _loss_error(separator, phase, f"keeps {', '.join(sorted(unknown))}, which names no buffer")


def check_gradients(
    separator: Separator, phase: Phase, names: Sequence[str], gradients: Sequence[Tensor | None]
) -> None:
    """Check that the loss of a phase depends on every parameter that the phase updates.

    Args:
        separator: separator that is trained.
        phase: phase whose loss was differentiated.
        names: names of the parameters that it updates.
        gradients: gradient of each, of its shape; None for a parameter that the loss does not depend on.

    Raises:
        UsageError: the loss does not depend on one of the parameters.
    """
    for name, gradient in zip(names, gradients, strict=True):
        if gradient is None:
            raise _loss_error(separator, phase, f"does not depend on {name}, which the phase updates")


def check_fit(separator: Separator, parts: object) -> None:
    """Check the result of ``fit_epoch``.

    Raises:
        UsageError: ``parts`` is no dict of numbers.
    """
    what = f"{full_name(type(separator))}.fit_epoch() must return a dict of name -> number"
    if not isinstance(parts, Mapping):
        raise UsageError(f"{what}, returns {type_name(parts)}")
    for name, value in parts.items():
        if not isinstance(value, Real) and not (isinstance(value, Tensor) and value.numel() == 1):
            raise UsageError(f"{what}, has {type_name(value)} as {name!r}")


def check_epoch_data(separator: Separator, data: object) -> None:
    """Check the result of ``before_epoch``.

    Raises:
        UsageError: ``data`` is no dict of tensors.
    """
    if not isinstance(data, Mapping) or not all(isinstance(tensor, Tensor) for tensor in data.values()):
        name = full_name(type(separator))
        raise UsageError(f"{name}.before_epoch() must return the data, a dict of tensors, returns {type_name(data)}")


def check_estimates(separator: Separator, estimates: object, sources: Tensor) -> None:
    """Check a separator's estimates of mixtures.

    Args:
        separator: the separator, perhaps an oracle.
        estimates: what it has returned.
        sources: true sources of the mixtures, ``[batch, source, channel, *signal]``.

    Raises:
        UsageError: ``estimates`` is no tensor, or has another shape than the sources.
    """
    if not isinstance(estimates, Tensor) or estimates.shape != sources.shape:
        method = "separate_given" if isinstance(separator, Oracle) else "separate"
        raise UsageError(
            f"{full_name(type(separator))}.{method}() must return [batch, source, channel, *signal], here a tensor "
            f"{list(sources.shape)}, returns {type_name(estimates)}"
        )


def matches(parameter: str, prefix: str) -> bool:
    """Say whether a prefix among a phase's ``parameters`` names a parameter: it, or a module that it is in."""
    return parameter == prefix or parameter.startswith(prefix + ".")


def type_name(value: object) -> str:
    """Return the name of a value's type, of an array or tensor with its dtype and shape."""
    name = full_name(type(value)).removeprefix("builtins.")
    if hasattr(value, "dtype") and hasattr(value, "shape"):  # an array of numpy or of another library
        return f"{name} {value.dtype} {list(value.shape)}"
    return name


def full_name(kind: type) -> str:
    """Return the name of a class with its module's, as a user gives it: ``cass.Config``, ``my_separator.Config``."""
    module = kind.__module__.removeprefix("sepray.separators.").removeprefix("sepray.tasks.")
    return f"{module}.{kind.__qualname__}"


def _checked_hyperparameters(name: str, found: object) -> Sequence[str]:
    """Return the names of the hyperparameters."""
    what = f"{name}.hyperparameters() must return a dict of name -> number"
    if not isinstance(found, Mapping):
        raise UsageError(f"{what}, returns {type_name(found)}")
    for key, value in found.items():
        if not isinstance(key, str):
            raise UsageError(f"{what}, has the name {key!r}")
        if not isinstance(value, Real):
            shown = repr(value) if isinstance(value, str) else type_name(value)
            raise UsageError(f"{what}, has {shown} as {key!r}")
    return tuple(found)


def _check_phase(what: str, phase: Phase, separator: Separator, known: Sequence[str]) -> None:
    for attribute in ("learning_rate", "active"):
        given = getattr(phase, attribute)
        if given not in known and (given is not None or attribute == "learning_rate"):
            there = ", ".join(known) or "none"
            raise UsageError(f"{what} has {attribute}={given!r}, which hyperparameters() lacks; it has {there}")
    for attribute in ("loss", "draw"):
        function = getattr(phase, attribute)
        if not callable(function) and (function is not None or attribute == "loss"):
            raise UsageError(f"{what} must have a function as {attribute}, has {type_name(function)}")
    if not _is_count(phase.repeats):
        raise UsageError(f"{what} must have a whole number above 0 as repeats, has {phase.repeats!r}")
    prefixes: object = phase.parameters
    if not isinstance(prefixes, tuple | list) or not prefixes or not all(isinstance(p, str) for p in prefixes):
        raise UsageError(f"{what} must have a tuple of names as parameters, such as ('filters',), has {prefixes!r}")
    parameters = _parameters(separator)
    for prefix in phase.parameters:
        own = [parameter for name, parameter in parameters.items() if matches(name, prefix)]
        if not own:
            there = ", ".join(dict.fromkeys(name.partition(".")[0] for name in parameters)) or "no parameters"
            raise UsageError(f"{what} updates {prefix!r}, which names no parameter; the module has {there}")
        if not all(parameter is None or parameter.requires_grad for parameter in own):
            raise UsageError(f"{what} updates {prefix!r}, which has a parameter with requires_grad=False")


def _parameters(separator: Separator) -> dict[str, Tensor | None]:
    """Return the parameters by name; None for one that ``prepare`` makes, declared by ``register_parameter``."""
    later = {
        f"{module}.{name}".removeprefix("."): None
        for module, part in separator.named_modules()
        for name, parameter in part._parameters.items()
        if parameter is None
    }
    return {**later, **dict(separator.named_parameters())}


def _check_nothing_to_train(name: str, separator: Separator) -> None:
    """Refuse a separator without phases and ``fit_epoch`` that has weights, or does not set ``learns = False``."""
    what = f"{name} has neither phases nor fit_epoch: nothing would be trained"
    trainable = [parameter for parameter, value in separator.named_parameters() if value.requires_grad]
    if trainable:
        raise UsageError(f"{what}, but it has parameters ({trainable[0]}); define phases() or fit_epoch()")
    if separator.learns:
        raise UsageError(f"{what}; define one, or for a method that has nothing to train set learns = False")


def _loss_error(separator: Separator, phase: Phase, problem: str) -> UsageError:
    function = getattr(phase.loss, "__qualname__", type(phase.loss).__qualname__).rpartition("<locals>.")[2]
    return UsageError(f"{full_name(type(separator))}: the loss of phase {phase.name!r}, {function}(), {problem}")


def _is_count(value: object) -> bool:
    return type(value) is not bool and isinstance(value, Integral) and int(value) > 0
