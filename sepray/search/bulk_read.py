"""Optuna's relational storage with reads that stay fast with ten thousand trials, and with a thousand that run at once.

Optuna makes a mapped object of every parameter, value and attribute; here they are read as rows, one query a table. A
study of ten thousand trials is opened in a second (``benchmarks/history.py``). Reading is most of a driver's work: all
trials that run when another begins, and before each write the owner of the study (``benchmarks/many.py``).
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
from sqlalchemy import Connection, bindparam, or_, select

_json_to_distribution = functools.lru_cache(maxsize=1024)(optuna.distributions.json_to_distribution)

K = TypeVar("K")
V = TypeVar("V")
_ByTrial = defaultdict[int, dict[K, V]]


class BulkReadStorage(RDBStorage):
    """Optuna's relational storage, with the reads of trials and of a study's attributes replaced.

    Optuna's cache asks for a whole study once, and from then on for new and unfinished trials only.
    """

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial, as Optuna does."""
        with _bad_rows_reported(), self.engine.connect() as connection:
            found = list(_trials(connection, "one", {"id": trial_id}))
            for trial in found:
                _check_columns(trial)
        return found[0] if found else super().get_trial(trial_id)  # Optuna's error: there is none

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the user attributes of a study, as Optuna does."""
        with self.engine.connect() as connection:
            rows = connection.execute(_attributes_of_study(), {"study": study_id}).all()
        found = {key: json.loads(text) for key, text in rows}
        return found or super().get_study_user_attrs(study_id)  # Optuna's error where there is no such study

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        with _bad_rows_reported():
            if states is not None:
                trials: list[FrozenTrial] = super()._get_trials(
                    study_id, states, included_trial_ids, trial_id_greater_than
                )
            else:
                after = trial_id_greater_than
                given = {"study": study_id, "after": after, "ids": [key for key in included_trial_ids if key <= after]}
                with self.engine.connect() as connection:
                    trials = list(_trials(connection, "all" if after < 0 else "some", given))
            for trial in trials:
                _check_columns(trial)
        return trials


class RowError(ValueError):
    """A row of a table has a value that Optuna never writes there; SQLite takes any value in any column."""


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


def _trials(connection: Connection, which: str, given: dict[str, Any]) -> Iterator[FrozenTrial]:
    """Yield trials in the order of their ids, as Optuna's own read returns them.

    The table of trials is read first: of one that has ended, all is there by then.

    Args:
        connection: to the database.
        which: ``all`` of a study, ``some`` of it, or ``one``: a key of ``_trial_queries``.
        given: the parameters of that query.
    """
    final, step = models.TrialValueModel, models.TrialIntermediateValueModel
    trials = connection.execute(_trial_queries()[which], given).all()
    of = {"study": given["study"]} if which == "all" else {"ids": [key for key, *_ in trials]}
    read = (connection.execute(query, of) if trials else () for query in _queries(which == "all"))
    params: _ByTrial[str, Any] = defaultdict(dict)
    distributions: _ByTrial[str, BaseDistribution] = defaultdict(dict)
    for key, name, value, text in next(read):
        distributions[key][name] = distribution = _json_to_distribution(text)
        params[key][name] = distribution.to_external_repr(value)
    values: _ByTrial[int, float] = defaultdict(dict)
    for key, index, value, kind in next(read):
        values[key][index] = final.stored_repr_to_value(value, kind)
    curves: _ByTrial[int, float] = defaultdict(dict)
    for key, epoch, value, kind in next(read):
        curves[key][epoch] = step.stored_repr_to_intermediate_value(value, kind)
    user: _ByTrial[str, Any] = defaultdict(dict)
    system: _ByTrial[str, Any] = defaultdict(dict)
    for attributes in (user, system):
        for key, name, text in next(read):
            attributes[key][name] = json.loads(text)
    for key, number, state, begun, ended in trials:
        yield FrozenTrial(
            number=number,
            state=state,
            value=None,
            values=[value for _, value in sorted(values[key].items())] or None,
            datetime_start=_local(begun),
            datetime_complete=_local(ended),
            params=params[key],
            distributions=distributions[key],
            user_attrs=user[key],
            system_attrs=system[key],
            intermediate_values=curves[key],
            trial_id=key,
        )


# Queries are made once: SQLAlchemy takes longer to put one together than SQLite to answer it.


@functools.cache
def _trial_queries() -> dict[str, Any]:
    """Return the queries of the table of trials, in the order of their ids."""
    trial = models.TrialModel
    columns = (trial.trial_id, trial.number, trial.state, trial._datetime_start_utc, trial._datetime_complete_utc)
    query, own = select(*columns).order_by(trial.trial_id), trial.study_id == bindparam("study")
    return {
        "all": query.where(own),
        "some": query.where(own, or_(_among(trial.trial_id), trial.trial_id > bindparam("after"))),
        "one": query.where(trial.trial_id == bindparam("id")),
    }


@functools.cache
def _queries(whole: bool) -> tuple[Any, ...]:
    """Return the queries of parameters, values, epochs, user and system attributes: of a study, or of ``ids``."""
    trial, param, final = models.TrialModel, models.TrialParamModel, models.TrialValueModel
    step, user, system = (
        models.TrialIntermediateValueModel,
        models.TrialUserAttributeModel,
        models.TrialSystemAttributeModel,
    )

    def query(order: Any, *columns: Any) -> Any:
        table = order.class_
        rows = select(table.trial_id, *columns).order_by(order)
        if not whole:
            return rows.where(_among(table.trial_id))
        return rows.join(trial, trial.trial_id == table.trial_id).where(trial.study_id == bindparam("study"))

    return (
        query(param.param_id, param.param_name, param.param_value, param.distribution_json),
        query(final.objective, final.objective, final.value, final.value_type),
        query(step.step, step.step, step.intermediate_value, step.intermediate_value_type),
        query(user.trial_user_attribute_id, user.key, user.value_json),
        query(system.trial_system_attribute_id, system.key, system.value_json),
    )


@functools.cache
def _attributes_of_study() -> Any:
    table = models.StudyUserAttributeModel
    return select(table.key, table.value_json).where(table.study_id == bindparam("study"))


def _among(column: Any) -> Any:
    """Return the condition that a column is among ``ids``, which are written out: databases take few parameters."""
    return column.in_(bindparam("ids", expanding=True, literal_execute=True))


def _local(stamp: datetime.datetime | None) -> datetime.datetime | None:
    """Return naive local time from the naive UTC of Optuna's tables."""
    return None if stamp is None else stamp.replace(tzinfo=datetime.UTC).astimezone().replace(tzinfo=None)
