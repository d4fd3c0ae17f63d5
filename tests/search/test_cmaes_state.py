"""The state of CMA-ES is kept without pickle, and goes on as it would have."""

import pickle

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from sepray.errors import StorageError
from sepray.search import cmaes_state
from sepray.search.samplers import make_sampler

SPACE = {"x": FloatDistribution(-5.0, 5.0), "n": IntDistribution(0, 9)}


class Planted:
    """A value that somebody else has written into the storage: it runs when it is unpickled."""

    ran = False

    def __reduce__(self):
        return (_run, ())


def _run():
    Planted.ran = True


@pytest.mark.parametrize(
    "content",
    [
        *(pickle.dumps(Planted()), b"{}", b'{"optimizer": "Popen", "state": {}}', b"\xff"),
        *(b"[]", b"5", b"null", b'{"tuple": []}', b"[" * 100_000, b'{"tuple":[' * 900 + b"]}" * 900),
        b'{"array": [0], "shape": [1000000000000], "dtype": "<f8"}',
    ],
)
def test_what_is_no_state_is_refused_without_being_run(content):
    with pytest.raises(StorageError, match=r"^the state of CMA-ES in the storage is none .*: begin the study under"):
        cmaes_state.loads(content)
    assert not Planted.ran


def test_planted_pickle_in_the_storage_does_not_run():
    """Through Optuna's own sampler, made here."""
    sampler = make_sampler("CmaEsSampler", 0, SPACE)
    trial = optuna.trial.create_trial(state=optuna.trial.TrialState.COMPLETE, value=1.0)
    trial.system_attrs = sampler._split_optimizer_str(pickle.dumps(Planted()).hex())
    with pytest.raises(StorageError):
        sampler._restore_optimizer([trial])
    assert not Planted.ran


def test_array_of_objects_is_refused():
    with pytest.raises(StorageError):
        cmaes_state.loads(b'{"array": [null], "shape": [1], "dtype": "|O"}')


@pytest.mark.parametrize("options", [{}, {"use_separable_cma": True}, {"with_margin": True}])
def test_optimizer_is_the_same_after_a_restart(options):
    space = SPACE if "with_margin" in options else {"x": SPACE["x"], "y": SPACE["x"]}
    storage = optuna.storages.InMemoryStorage()

    def run(trials, seed):
        sampler = make_sampler("cmaes", seed, space, {"warn_independent_sampling": False, **options})
        study = optuna.create_study(storage=storage, study_name="s", sampler=sampler, load_if_exists=True)
        study.optimize(lambda trial: sum(float(v) ** 2 for v in _suggest(trial, space)), n_trials=trials)
        return study

    study = run(30, 0)
    sampler = study.sampler
    before = sampler._restore_optimizer(list(reversed(study.get_trials(deepcopy=False))))
    after = cmaes_state.loads(cmaes_state.dumps(before))
    inner = lambda optimizer: getattr(optimizer, "_cma", optimizer)  # noqa: E731
    assert before.generation == after.generation > 0
    np.testing.assert_array_equal(inner(before)._mean, inner(after)._mean)
    np.testing.assert_array_equal(inner(before)._C, inner(after)._C)
    assert min(t.value for t in run(30, 1).trials) < 1.0


def _suggest(trial, space):
    for name, distribution in space.items():
        suggest = trial.suggest_int if isinstance(distribution, IntDistribution) else trial.suggest_float
        yield suggest(name, distribution.low, distribution.high)
