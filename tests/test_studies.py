"""The studies that come with sepray fit their separators and their search spaces."""

import importlib.util
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution

from sepray import identity, registry
from sepray.arms import Arm, expand, hyperparameters, of_settings, plain
from sepray.contracts import Signal
from sepray.execution.schedulers import make_scheduler
from sepray.search.ledger import contains
from sepray.search.samplers import make_sampler
from sepray.spec.flags import parse
from sepray.spec.study import StudySpec, key

FOLDER = Path(__file__).parent.parent / "studies"
FILES = sorted(
    p for p in FOLDER.glob("*.py") if p.stem not in ("__init__", "compare_separators")
)  # see tests/comparison


def test_there_are_studies():
    assert [path.name for path in FILES if path.name == "cass_alpha_sweep.py"]


@pytest.fixture(params=FILES, ids=[path.stem for path in FILES])
def path(request):
    return request.param


@pytest.fixture
def study(path) -> StudySpec:
    module_spec = importlib.util.spec_from_file_location(f"studies_{path.stem}", path)
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    assert isinstance(module.STUDY, StudySpec)
    return module.STUDY


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def signal(study, cache) -> Signal:
    """Signal of the study's task, from its smallest data."""
    return registry.find("sepray.tasks", key(study.task)).DEBUG.load(cache).signal


@pytest.fixture
def sources(signal) -> tuple[str, ...]:
    return signal.sources


@pytest.fixture
def defaults(study, sources) -> dict[str, float]:
    """The hyperparameters that the study's separator has, or that named configuration of it."""
    module = registry.find("sepray.separators", key(study.separator))
    named = study.separator in registry.configs(module).values()
    config = study.separator if named else module.DEBUG
    return config.build(Signal(sources, 1, (256,), 128.0)).hyperparameters()


def test_study_is_short_and_explains_itself(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 40
    assert text.startswith('"""')
    assert text.rstrip().endswith(("main(STUDY)", "main(STUDY, FULL)"))


def test_space_expands_to_hyperparameters_that_the_separator_has(study, sources, defaults):
    space = identity.expand(study.space, sources)
    assert bool(space) == bool(defaults)  # a method with nothing to vary has an empty space
    assert set(space) <= set(defaults)
    assert not any("{" in name for name in space)


def test_reference_points_lie_in_the_space_and_leave_nothing_open(study, sources, defaults):
    space = identity.expand(study.space, sources)
    arms = expand(study.arms, sources, space, defaults)
    for label, point in study.reference_points.items():
        named = identity.expand(point, sources)
        values = {name: value for name, value in defaults.items() if name in space} | named
        arm = arms.get(of_settings(arms, {**defaults, **values}), Arm({}, tuple(space)))
        assert set(space) <= set(values) <= set(space) | set(arm.settings), label
        assert set(hyperparameters(arm, values)) == {*arm.searched, *arm.settings}
        for name in arm.searched:
            assert contains(space, name, values[name]), f"{label}: {name} = {values[name]} is not in {space[name]}"


def test_published_settings_belong_to_an_arm_that_searches_what_matters(study, sources, defaults):
    space = identity.expand(study.space, sources)
    arms = expand(study.arms, sources, space, defaults)
    if not arms:
        pytest.skip("the study has no arms")
    points = [{**defaults, **identity.expand(p, sources)} for p in study.reference_points.values()]
    assert None not in [of_settings(arms, point) for point in points]
    assert {name for arm in arms.values() for name in arm.searched} == set(space)
    assert len({identity.canonical_json(plain({"": arm})) for arm in arms.values()}) == len(arms)


def test_reference_points_differ_and_are_part_of_the_trials(study, sources):
    points = [identity.canonical_json(identity.expand(p, sources)) for p in study.reference_points.values()]
    assert len(set(points)) == len(points)
    assert len(points) < study.budget.trials


def test_controls_change_hyperparameters_within_the_space(study, sources, defaults):
    space = identity.expand(study.space, sources)
    for label, change in study.controls.items():
        values = identity.expand(change, sources)
        assert values, label
        assert set(values) <= set(defaults), label
        for name, value in values.items():
            assert name not in space or contains(space, name, value), f"{label}: {name}"
            # A switch that is searched has both its positions, so that the control is another thing than the best.
            if isinstance(space.get(name), CategoricalDistribution):
                assert len(space[name].choices) > 1


def test_sampler_scheduler_and_objectives_can_be_made(study, signal, sources):
    space = identity.expand(study.space, sources)
    make_sampler(study.search.sampler, study.seed, space)
    make_scheduler(
        study.search.scheduler,
        max_epochs=study.budget.max_epochs,
        grace_period=study.search.grace(study.budget.max_epochs),
        reduction_factor=study.search.reduction_factor,
        space=space,
        sampler=study.search.sampler,
    )
    assert study.objectives(signal)


def test_command_line_without_arguments_leaves_the_study_as_it_is(study):
    assert parse(study, []) == study


def test_papers_three_settings_of_cass_are_as_published():
    """Section 4: alpha 0.9, beta 0.1, cross weight 0.01, learning rates 1e-5 and 1e-6."""
    from search_spaces import cass

    points = {label: identity.expand(point, ("maternal", "fetal")) for label, point in cass.PAPER.items()}
    assert list(points) == ["baseline autoencoder", "CASS", "CASS with cross adversarial training"]
    assert [p["adversarial"] for p in points.values()] == [0, 1, 1]
    for direction in ("cross.maternal_to_fetal", "cross.fetal_to_maternal"):
        assert [p[direction] for p in points.values()] == [0.0, 0.0, 0.01]
    assert {p["autoencoder_learning_rate"] for p in points.values()} == {1e-5}
    assert {p["discriminator_learning_rate"] for p in points.values()} == {1e-6}
    assert {p["beta"] for p in points.values()} == {0.1}
