"""Samplers by name: all work with every outcome, and what cannot be made is refused in one line."""

import inspect
import math
import sys

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from sepray.errors import UsageError
from sepray.execution.schedulers import make_scheduler
from sepray.search.samplers import capacity, grid_values, make_sampler
from sepray.search.searcher import StudySearcher
from sepray.search.storage import open_study

from ..simulation import Controller
from .studies import EPOCHS, KEY, PAIR, SPACE, study_at


def pair_report(trial):
    epoch, number = trial.epoch + 1, trial.config["number"]
    alpha = trial.config["hyperparameters"]["alpha"]
    values = {PAIR[0]: alpha + 1 / epoch, PAIR[1]: 1 - alpha + 1 / epoch}
    outcome = "complete" if epoch == EPOCHS else ""
    if number % 5 == 4 and epoch == 2:
        outcome = "collapsed"
    return {"epoch": epoch, "objective": sum(values.values()) / 2 + number, "outcome": outcome} | values


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii"])
def test_several_objectives_keep_the_curves_of_pruned_trials(url, sampler):
    study = study_at(url, sampler, ("minimize", "minimize"))
    searcher = StudySearcher(study, SPACE, PAIR, 24, 0)
    # each trial is worse than those before it, so that the scheduler stops many, and TPE has to rank them
    controller = Controller(searcher, pair_report, make_scheduler("asha", EPOCHS, grace_period=1), slots=1)
    controller.run()
    searcher.close()
    trials = study.get_trials()
    stopped = [t for t in trials if t.state == TrialState.PRUNED]
    assert len(trials) == 24
    assert len(stopped) > 10
    assert all(t.state.is_finished() for t in trials)
    for trial in stopped:
        assert trial.values is None
        assert trial.intermediate_values == {1: 1.5 + trial.number}
    complete = [t for t in trials if t.state == TrialState.COMPLETE and not t.user_attrs.get("reason")]
    assert complete
    for trial in complete:
        assert trial.values == pytest.approx([trial.params["alpha"] + 0.25, 1.25 - trial.params["alpha"]])


@pytest.mark.parametrize(
    ("sampler", "count"),  # enough to get past the random start of those that have one
    [
        ("tpe", 14),
        ("gp", 14),
        ("nsgaii", 4),
        ("nsgaiii", 4),
        ("qmc", 4),
        ("bruteforce", 4),
        ("RandomSampler", 4),
        ("optuna.samplers:RandomSampler", 4),
    ],
)
def test_samplers_by_name_work_with_all_outcomes(url, sampler, count):
    space = {"alpha": FloatDistribution(0.0, 1.0, step=0.01), "kind": SPACE["kind"]}
    study = open_study(url, sampler, ["maximize"], {}, make_sampler(sampler, 1, space))

    def outcomes(trial):
        number, epoch = trial.config["number"], trial.epoch + 1
        outcome = {0: "diverged", 1: "collapsed"}.get(number % 3, "") if epoch == 2 else ""
        outcome = "complete" if epoch == EPOCHS else outcome
        score = trial.config["hyperparameters"]["alpha"]
        return {"epoch": epoch, "objective": -score, KEY: score, "outcome": outcome}

    searcher = StudySearcher(study, space, [KEY], count, 0)
    Controller(searcher, outcomes, slots=1).run()
    searcher.close()
    assert len(study.get_trials()) == count
    assert all(t.state.is_finished() for t in study.get_trials())
    assert all(contained(t, space) for t in study.get_trials())


def contained(trial, space):
    return all(d._contains(d.to_internal_repr(trial.params[name])) for name, d in space.items())


def test_tpe_finds_the_optimum_and_keeps_off_collapsed_points(url):
    """Values are best at alpha = 0.2, but the trials below 0.5 collapse: the sampler must look above."""
    space = {"alpha": FloatDistribution(0.0, 1.0)}
    study = open_study(url, "c", ["minimize"], {}, make_sampler("tpe", 0, space))

    def collapsing(trial):
        alpha = trial.config["hyperparameters"]["alpha"]
        outcome = "collapsed" if alpha < 0.5 else "complete"
        return {"epoch": 1, "objective": abs(alpha - 0.2), KEY: abs(alpha - 0.2), "outcome": outcome}

    searcher = StudySearcher(study, space, [KEY], 40, 0)
    Controller(searcher, collapsing, slots=1).run()
    searcher.close()
    late = [t.params["alpha"] for t in study.get_trials()[20:]]
    assert sum(alpha >= 0.5 for alpha in late) >= 10  # without the constraint it is none
    assert 0.5 <= study.best_params["alpha"] < 0.55


def test_unknown_and_unusable_samplers_are_refused_in_one_line():
    with pytest.raises(UsageError, match="unknown sampler 'tpee'; there are: tpe, random, gp, cmaes, nsgaii, nsgaiii"):
        make_sampler("tpee", 0, SPACE)
    with pytest.raises(UsageError, match="no sampler 'nowhere:Sampler' can be imported: No module named 'nowhere'"):
        make_sampler("nowhere:Sampler", 0, SPACE)
    with pytest.raises(UsageError, match=r"sampler 'tpe' cannot be made with \{'candidates': 3\}"):
        make_sampler("tpe", 0, SPACE, {"candidates": 3})


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("import optuna\noptuna.no_such_name", AttributeError),
        ("from optuna import no_such_name", ImportError),
        ("import surely_not_installed", ModuleNotFoundError),
        ("class S:\n    def __init__(self):\n        [1, 2] + 3", TypeError),
        ("class S:\n    def __init__(self):\n        int('x')", ValueError),
        ("class S:\n    def __init__(self, points):\n        pass", UsageError),
        ("S = 3", UsageError),
    ],
)
def test_bugs_of_a_users_sampler_are_no_bad_input(text, kind, tmp_path, monkeypatch):
    (tmp_path / "mysamp.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mysamp", raising=False)
    with pytest.raises(kind) as raised:
        make_sampler("mysamp:S", 0, SPACE)
    assert type(raised.value) is kind


@pytest.mark.parametrize("name", [":S", ".mysamp:S", "mysamp:"])
def test_name_of_no_class_is_refused(name):
    with pytest.raises(
        UsageError, match=r"^no sampler '\S+' can be imported: it is not of the form package\.module:Class"
    ):
        make_sampler(name, 0, SPACE)


def test_a_sampler_whose_package_is_missing_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="sampler 'cmaes' needs a package that is not installed: pip install cmaes"):
        make_sampler("cmaes", 0, SPACE)


def test_the_sampler_is_seeded_and_goes_on_with_other_draws(url):
    def draws(existing):
        sampler = make_sampler("random", 5, SPACE, existing=existing)
        study = optuna.create_study(sampler=sampler)
        return [study.ask(SPACE).params["alpha"] for _ in range(3)]

    assert draws(0) == draws(0)
    assert not set(draws(0)) & set(draws(10))


def test_grid_values_cover_the_space():
    sampler = make_sampler("grid", 0, SPACE | {"step": FloatDistribution(0.5, 1.5, step=0.25)}, {"points": 3})
    assert sampler._search_space == {
        "alpha": pytest.approx([1e-4, 1e-2, 1.0]),
        "width": list(range(1, 10)),
        "kind": ["x", "y"],
        "step": [0.5, 0.75, 1.0, 1.25, 1.5],
    }


def made_with(monkeypatch, class_name):
    """The options that a class of ``optuna.samplers`` was made with last."""
    made, original = {}, getattr(optuna.samplers, class_name)

    class Remembers(original):
        __signature__ = inspect.signature(original)

        def __init__(self, **options):
            made.clear()
            made.update(options)
            super().__init__(**options)

    monkeypatch.setattr(optuna.samplers, class_name, Remembers)
    return made


def test_seed_options_and_defaults_arrive(monkeypatch):
    made = made_with(monkeypatch, "TPESampler")
    make_sampler("tpe", 7, SPACE, {"n_startup_trials": 3, "constant_liar": False}, existing=5)
    seed = int(np.random.SeedSequence([7, 5]).generate_state(1)[0])
    assert made == {"multivariate": False, "constant_liar": False, "n_startup_trials": 3, "seed": seed}
    make_sampler("TPESampler", 7, SPACE, {"seed": 1})
    assert made == {"multivariate": False, "constant_liar": True, "seed": 1}


@pytest.mark.parametrize(("name", "class_name"), [("qmc", "QMCSampler"), ("grid", "GridSampler")])
def test_samplers_with_a_sequence_of_their_own_keep_the_studys_seed(monkeypatch, name, class_name):
    """The sequence goes on where the storage says, so that another seed would be another sequence."""
    made = made_with(monkeypatch, class_name)
    for existing in (0, 9):
        make_sampler(name, 2**32 + 5, {"kind": SPACE["kind"]}, existing=existing)
        assert made["seed"] == 5


def test_class_that_is_no_sampler_is_refused():
    with pytest.raises(UsageError, match="sampler 'pathlib:PurePath' is a PurePath, which is not an Optuna sampler"):
        make_sampler("pathlib:PurePath", 0, SPACE)
    with pytest.raises(UsageError, match="no sampler 'pathlib:Pth' can be imported"):
        make_sampler("pathlib:Pth", 0, SPACE)
    with pytest.raises(UsageError, match="unknown sampler 'BaseSampler'"):
        make_sampler("BaseSampler", 0, SPACE)


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (FloatDistribution(0.0, 1.0), [0.0, 0.25, 0.5, 0.75, 1.0]),
        (FloatDistribution(2.0, 2.0), [2.0]),
        (IntDistribution(1, 16, log=True), [1, 2, 4, 8, 16]),
        (IntDistribution(1, 3, log=True), [1, 2, 3]),
        (IntDistribution(2, 10, step=4), [2, 6, 10]),
    ],
)
def test_values_of_one_dimension_of_a_grid(distribution, expected):
    assert grid_values(distribution, 5) == pytest.approx(expected)


def test_logarithmic_grid_stays_in_its_range():
    for low, high in ((1e-4, 0.3), (3e-5, 7e-2), (0.1, 0.7)):
        values = grid_values(FloatDistribution(low, high, log=True), 7)
        assert (values[0], values[-1]) == (low, high)


def test_only_finite_samplers_have_a_capacity():
    space = {"kind": SPACE["kind"], "rate": FloatDistribution(0.0, 1.0)}
    assert capacity(make_sampler("random", 0, space), space) == math.inf
    assert capacity(make_sampler("grid", 0, space, {"points": 4}), space) == 8
    finite = {"kind": SPACE["kind"], "rate": FloatDistribution(0.0, 1.0, step=0.5)}
    assert capacity(make_sampler("bruteforce", 0, finite), finite) == 6


def test_search_of_all_values_proposes_as_many_as_its_capacity():
    space = {"width": IntDistribution(1, 8, log=True), "layers": IntDistribution(2, 6, step=2)}
    study = optuna.create_study(sampler=make_sampler("bruteforce", 0, space))
    assert capacity(study.sampler, space) == 24
    study.optimize(
        lambda trial: float(trial.suggest_int("width", 1, 8, log=True) + trial.suggest_int("layers", 2, 6, step=2))
    )
    assert len({tuple(trial.params.values()) for trial in study.trials}) == len(study.trials) == 24
