"""Optuna's relational storage with a first read that stays fast for a study of ten thousand trials.

Optuna makes a mapped object of every parameter, value and attribute; here they are read as rows, one query a table.
Measured figures: ``benchmarks/history.py``.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
from collections import defaultdict
from collections.abc import Container, Iterator
from typing import Any, TypeVar

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, select

_json_to_distribution = functools.lru_cache(maxsize=1024)(optuna.distributions.json_to_distribution)

K = TypeVar("K")
V = TypeVar("V")
_ByTrial = defaultdict[int, dict[K, V]]


class BulkReadStorage(RDBStorage):
    """Optuna's relational storage, with the read of a whole study replaced.

    Optuna's cache asks for a whole study once, and from then on for new and unfinished trials only.
    """

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        with _bad_rows_reported():
            if states is not None or trial_id_greater_than >= 0:
                trials: list[FrozenTrial] = super()._get_trials(
                    study_id, states, included_trial_ids, trial_id_greater_than
                )
            else:
                with self.engine.connect() as connection:
                    trials = list(_whole_study(connection, study_id))
            for trial in trials:
                _check_columns(trial)
        return trials


class RowError(ValueError):
    """A row of a table has what Optuna never writes there; SQLite takes any value in any column."""


@contextlib.contextmanager
def _bad_rows_reported() -> Iterator[None]:
    try:
        yield
    except (RowError, json.JSONDecodeError):
        raise
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise RowError(f"{type(error).__name__} {error}".strip()) from error


def _check_columns(trial: FrozenTrial) -> None:
    """Refuse values of other types than their columns have.

    Raises:
        RowError: a value has another type than its column.
    """
    if type(trial.number) is not int or trial.number < 0 or not isinstance(trial.state, TrialState):
        raise RowError(f"a trial has the number {trial.number!r} and the state {trial.state!r}")
    numbers = [*trial.intermediate_values.values(), *(trial.values or ())]
    for name, distribution in trial.distributions.items():
        if not isinstance(distribution, CategoricalDistribution):
            numbers.append(trial.params[name])
    steps = trial.intermediate_values.keys()
    names = (*trial.params, *trial.user_attrs, *trial.system_attrs)
    if not (
        all(isinstance(number, int | float) for number in numbers)
        and all(isinstance(step, int) for step in steps)
        and all(isinstance(name, str) for name in names)
    ):
        raise RowError(f"trial {trial.number} has a value, a step or a name of another type")


def _whole_study(connection: Connection, study_id: int) -> Iterator[FrozenTrial]:
    """Yield all trials of a study, in the order of their ids, as Optuna's own read returns them."""
    trial, param, final = models.TrialModel, models.TrialParamModel, models.TrialValueModel
    step, user, system = (
        models.TrialIntermediateValueModel,
        models.TrialUserAttributeModel,
        models.TrialSystemAttributeModel,
    )

    def rows(order: Any, *columns: Any) -> Iterator[Any]:
        """Return the study's rows of the table that ``order`` is a column of: trial id, then ``columns``."""
        table = order.class_
        query = select(table.trial_id, *columns).join(trial, trial.trial_id == table.trial_id)
        return iter(connection.execute(query.where(trial.study_id == study_id).order_by(order)))

    params: _ByTrial[str, Any] = defaultdict(dict)
    distributions: _ByTrial[str, BaseDistribution] = defaultdict(dict)
    for key, name, value, text in rows(param.param_id, param.param_name, param.param_value, param.distribution_json):
        distributions[key][name] = distribution = _json_to_distribution(text)
        params[key][name] = distribution.to_external_repr(value)
    values: _ByTrial[int, float] = defaultdict(dict)
    for key, index, value, kind in rows(final.objective, final.objective, final.value, final.value_type):
        values[key][index] = final.stored_repr_to_value(value, kind)
    curves: _ByTrial[int, float] = defaultdict(dict)
    for key, epoch, value, kind in rows(step.step, step.step, step.intermediate_value, step.intermediate_value_type):
        curves[key][epoch] = step.stored_repr_to_intermediate_value(value, kind)
    attributes: dict[Any, _ByTrial[str, Any]] = {user: defaultdict(dict), system: defaultdict(dict)}
    for table, order in ((user, user.trial_user_attribute_id), (system, system.trial_system_attribute_id)):
        for key, name, text in rows(order, table.key, table.value_json):
            attributes[table][key][name] = json.loads(text)
    columns = (trial.trial_id, trial.number, trial.state, trial._datetime_start_utc, trial._datetime_complete_utc)
    for key, number, state, begun, ended in connection.execute(
        select(*columns).where(trial.study_id == study_id).order_by(trial.trial_id)
    ):
        yield FrozenTrial(
            number=number,
            state=state,
            value=None,
            values=[value for _, value in sorted(values[key].items())] or None,
            datetime_start=_local(begun),
            datetime_complete=_local(ended),
            params=params[key],
            distributions=distributions[key],
            user_attrs=attributes[user][key],
            system_attrs=attributes[system][key],
            intermediate_values=curves[key],
            trial_id=key,
        )


def _local(stamp: datetime.datetime | None) -> datetime.datetime | None:
    """Return naive local time from the naive UTC of Optuna's tables."""
    return None if stamp is None else stamp.replace(tzinfo=datetime.UTC).astimezone().replace(tzinfo=None)
