"""A dry run from the description of a study to its estimate."""

import io
import sys
from dataclasses import replace

import pytest
from optuna.distributions import FloatDistribution
from rich.console import Console

from sepray import processor
from sepray.contracts import Supervision
from sepray.driver import warm_start
from sepray.dry_run import estimator as dry_run
from sepray.dry_run import machine as the_machine
from sepray.dry_run import text
from sepray.dry_run.estimate import split_sizes
from sepray.dry_run.measurement import TrialError
from sepray.dry_run.schedule import EstimateRange
from sepray.errors import UsageError
from sepray.execution.cluster import ClusterError
from sepray.separators import cass, nmf
from sepray.spec.permissions import Permissions
from sepray.spec.study import StudySpec
from sepray.tasks import ecg
from sepray.tracking import trust

from .conftest import DATA, SIGNAL
from .test_measurement import MEASURED

MIB = 1 << 20


class Measuring:
    """Stands for the measurement: keeps what it is asked, and answers with ``found``."""

    def __init__(self) -> None:
        self.found = replace(MEASURED, problem="")
        self.asked: list[tuple] = []
        self.error: Exception | None = None

    def __call__(self, parameters, settings, seed, at_once, memory_bytes):
        self.asked.append((parameters, settings, seed, at_once, memory_bytes))
        if self.error:
            raise self.error
        return self.found


@pytest.fixture
def measuring(monkeypatch) -> Measuring:
    fake = Measuring()
    monkeypatch.setattr(dry_run, "measure_trial", fake)
    return fake


@pytest.fixture
def screen(monkeypatch) -> io.StringIO:
    console = Console(file=io.StringIO(), width=140, highlight=False, markup=False)
    monkeypatch.setattr(dry_run, "console", console)
    return console.file


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Two CPUs, no GPU, 8 GiB of memory of which 1000 MiB are free, 64 GiB of disk; this process has 100 MiB."""
    monkeypatch.setattr(processor, "cpus", lambda: 2)
    monkeypatch.setattr(the_machine, "gpus", lambda: 0)
    monkeypatch.setattr(the_machine, "memory", lambda: (8192 * MIB, 1000 * MIB))
    monkeypatch.setattr(the_machine, "free_disk", lambda place: 65536 * MIB)
    monkeypatch.setattr(the_machine, "own_memory", lambda: 100 * MIB)


def test_estimate_has_what_the_study_is_and_takes(spec, measuring, screen, tmp_path):
    found = dry_run.estimate(spec, DATA)
    assert (found.spec, found.supervision, found.signal) == (spec, "paired", SIGNAL)
    assert found.splits == split_sizes(DATA)
    assert set(found.space) == {"beta", "cross.low_to_high", "cross.high_to_low"}
    assert found.reference_points == {"published": {"beta": 0.5, "cross.low_to_high": 0.25, "cross.high_to_low": 0.25}}
    assert found.controls == {"plain": {"adversarial": 0}}
    assert (found.progress.left, found.progress.retrainings_left) == (4, 6)
    assert found.slots == 2
    assert found.tried == found.reference_points["published"]
    assert found.measurement == MEASURED
    # 31.5 s a trial, 28.5 s a control, 7.25 s an epoch (test_estimate.py); scoring 4 systems on 5 items.
    assert found.epoch_seconds == EstimateRange(7.25, 7.25, 7.25)
    assert found.search_seconds == EstimateRange(*[3 + 2 * 31.5] * 3)
    assert found.seconds == EstimateRange(*[3 + 2 * 31.5 + 3 + 31.5 + 28.5 + 31.5 + 5] * 3)
    assert (found.failure, found.bug, found.warnings, found.status) == ("", False, (), 0)
    assert list(tmp_path.iterdir()) == []
    assert screen.getvalue() == "training a few steps of cass ...\n"


def test_study_that_fixes_every_hyperparameter_has_one_trial(spec, measuring, screen):
    fixed = {"beta": 0.75, "cross.{i}_to_{j}": 0.0}
    found = dry_run.estimate(spec.changed(fixed_settings=fixed), DATA)
    assert (found.spec.budget.trials, found.progress.trials, found.left_out) == (1, 1, ("published",))
    assert found.progress.retrainings == 4
    assert found.search_seconds == EstimateRange(*[3 + 31.5] * 3)


def test_trial_is_measured_as_the_search_trains_it(spec, measuring, screen):
    dry_run.estimate(spec.changed(seeds_per_trial=3, cpus_per_trial=2.0, seed=11, concurrency=5), DATA)
    [(parameters, settings, seed, at_once, memory)] = measuring.asked
    context = parameters["context"]
    assert (context.members, context.threads, context.device, context.max_epochs) == (3, 2, "cpu", 3)
    assert set(parameters["train"]) == {"mixture", "sources"}
    assert parameters["validation"]["mixture"].shape == (3, 1, 128)
    assert settings == {"beta": 0.5, "cross.low_to_high": 0.25, "cross.high_to_low": 0.25}
    assert (seed, at_once, memory) == (11, 5, 1000 * MIB)


def test_data_are_loaded_where_they_are_not_given_and_that_is_said(spec, measuring, screen, monkeypatch):
    loaded = []
    monkeypatch.setattr(dry_run, "load_task", lambda *arguments: loaded.append(arguments) or DATA)
    dry_run.estimate(spec)
    assert loaded == [(spec.task, spec.stores.cache)]
    assert screen.getvalue().splitlines() == [
        "loading the data of ecg; what the cache does not hold is generated ...",
        "training a few steps of cass ...",
    ]


def test_memory_and_disk(spec, measuring, screen):
    measuring.found = replace(MEASURED, private_bytes=300 * MIB, shared_bytes=200 * MIB, gpu_bytes=1)
    found = dry_run.estimate(spec, DATA)
    memory = found.memory
    assert (memory.trial, memory.shared, memory.driver) == (300 * MIB, 200 * MIB, 100 * MIB)
    assert memory.total == (2 * 300 + 200 + 100) * MIB
    assert (memory.machine, memory.available) == (8192 * MIB, 1100 * MIB)
    assert found.disk == dry_run.Disk(4000, 2 * 10, 2000, 20 * 4000 + 2000, 65536 * MIB)
    assert found.warnings == ()


def test_short_trials_keep_one_checkpoint(spec, measuring, screen):
    assert dry_run.estimate(spec.changed(checkpoint_seconds=31.5), DATA).disk.files == 2 * 10
    assert dry_run.estimate(spec.changed(checkpoint_seconds=31.6), DATA).disk.files == 10


def test_object_store_has_no_limit(spec, measuring, screen):
    assert dry_run.estimate(spec.changed(storage_path="s3://bucket/studies"), DATA).disk.free is None


def test_memory_that_does_not_suffice_is_a_warning(spec, measuring, screen):
    measuring.found = replace(MEASURED, private_bytes=450 * MIB, shared_bytes=100 * MIB)
    assert dry_run.estimate(spec, DATA).warnings == ()  # 2 x 450 + 100 + 100 are just free
    measuring.found = replace(MEASURED, private_bytes=450 * MIB + 1, shared_bytes=100 * MIB)
    assert dry_run.estimate(spec, DATA).warnings == (
        "2 trials at once would need 1.1 GiB of memory, but 1.1 GiB are free: --concurrency 1 fits.",
    )
    measuring.found = replace(MEASURED, private_bytes=2000 * MIB, shared_bytes=100 * MIB)
    [warning] = dry_run.estimate(spec, DATA).warnings
    assert warning.endswith("are free: not one trial fits.")
    assert dry_run.estimate(spec.changed(address="auto", concurrency=2), DATA).warnings == ()


def test_disk_that_does_not_suffice_is_a_warning(spec, measuring, screen):
    spec = spec.changed(reference_budget="none")
    measuring.found = replace(MEASURED, checkpoint_bytes=4096 * MIB, weights_bytes=0)
    assert dry_run.estimate(spec, DATA).warnings == ()
    measuring.found = replace(MEASURED, checkpoint_bytes=4096 * MIB, weights_bytes=1)
    [warning] = dry_run.estimate(spec.changed(storage_path="there"), DATA).warnings
    assert warning == (
        "The checkpoints would need up to 64.0 GiB, but the disk of there has 64.0 GiB free: give another "
        "--storage-path."
    )


def test_trials_that_share_a_gpu_have_to_fit_it(spec, measuring, screen, monkeypatch):
    monkeypatch.setattr(the_machine, "gpus", lambda: 1)
    monkeypatch.setattr(dry_run, "require_here", lambda device, what: None)
    measuring.found = replace(MEASURED, gpu_bytes=40 * MIB, gpu_machine_bytes=80 * MIB)
    half = spec.changed(gpus_per_trial=0.5)
    found = dry_run.estimate(half, DATA)
    assert (found.warnings, found.slots, found.memory.gpu, found.memory.gpu_machine) == ((), 2, 40 * MIB, 80 * MIB)
    assert measuring.asked[0][0]["context"].device == "cuda"
    measuring.found = replace(MEASURED, gpu_bytes=40 * MIB + 1, gpu_machine_bytes=80 * MIB)
    assert dry_run.estimate(half, DATA).warnings == (
        "2 trials on a GPU would need 80.0 MiB of its 80.0 MiB: give --gpus-per-trial a larger share.",
    )
    assert dry_run.estimate(spec.changed(gpus_per_trial=1.0), DATA).warnings == ()


def test_training_that_diverges_is_a_warning(spec, measuring, screen):
    measuring.found = replace(MEASURED, problem="total of phase x is not finite in epoch 0, step 1")
    points = {"reference_points": {"published": {"beta": 0.5}}, "space": {"beta": spec.space["beta"]}}
    assert dry_run.estimate(spec.changed(**points), DATA).warnings == (
        "The trial that was tried, with beta 0.5, could not train on: total of phase x is not finite in epoch 0, "
        "step 1. Such trials fail.",
    )
    [warning] = dry_run.estimate(spec.changed(reference_points={}), DATA).warnings
    assert warning.startswith("The trial that was tried, with its defaults, could not")


@pytest.mark.parametrize("bug", [True, False])
def test_trial_that_fails_leaves_an_estimate_without_figures(spec, measuring, screen, bug):
    measuring.error = TrialError("Traceback: x", bug)
    found = dry_run.estimate(spec, DATA)
    assert (found.failure, found.bug, found.status) == ("Traceback: x", bug, 3 if bug else 1)
    assert (found.measurement, found.seconds, found.memory, found.disk) == (None, None, None, None)
    assert found.progress.left == 4


def test_cluster_decides_how_many_run(spec, measuring, screen, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    there = dry_run.estimate(spec.changed(address="auto"), DATA)
    assert there.slots == 0
    assert there.search_seconds == EstimateRange(*[3 + 4 * 31.5] * 3)  # one after another
    limited = dry_run.estimate(spec.changed(address="auto", concurrency=4), DATA)
    assert limited.slots == 4
    assert limited.search_seconds == EstimateRange(*[3 + 31.5] * 3)
    assert [at_once for *_, at_once, _ in measuring.asked] == [1, 1]  # another machine's trials are not tried here
    assert limited.memory.total == 300 + 200 + 100 * MIB


def test_models_are_loaded_with_the_trust_that_a_run_would_have(spec, measuring, screen, monkeypatch):
    asked = []
    monkeypatch.setattr(warm_start, "find", lambda *_: asked.append(trust.consented()))
    for permitted in (None, Permissions(trust_model_code=True)):
        dry_run.estimate(spec, DATA, permitted)
    assert asked == [False, True]


def test_done_study_is_not_measured(spec, measuring, screen, monkeypatch):
    done = replace(dry_run.progress(dry_run.prepare(spec, DATA)), found=True, left=0, retrainings_left=0)
    monkeypatch.setattr(dry_run, "progress", lambda prepared: done)
    found = dry_run.estimate(spec, DATA)
    assert (found.progress, found.measurement, measuring.asked, found.status) == (done, None, [], 0)
    waiting = replace(done, retrainings_left=1)
    monkeypatch.setattr(dry_run, "progress", lambda prepared: waiting)
    assert dry_run.estimate(spec, DATA).measurement == MEASURED


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"space": {"gamma": FloatDistribution(0, 1)}, "reference_points": {}},
            UsageError,
            "the search space has gamma, which cass",
        ),
        ({"reference_points": {"wild": {"beta": 7.0}}}, UsageError, "'wild' sets beta to 7.0, which is outside"),
        ({"objective": ("heart_rate_error",)}, UsageError, "objective 'heart_rate_error'"),
        ({"scheduler": "pbt", "sampler": "tpe"}, UsageError, "pbt changes hyperparameters while they are trained"),
        ({"device": "nowhere"}, UsageError, "^a dry run trains a trial in this process, and there is no nowhere here"),
        ({"gpus_per_trial": 1.0}, ClusterError, "a trial asks for 1 CPUs and 1 GPUs, but there are 2 CPUs and 0"),
    ],
)
def test_what_a_run_refuses_is_refused_before_anything_is_measured(spec, measuring, screen, changes, error, message):
    with pytest.raises(error, match=message):
        dry_run.estimate(spec.changed(**changes), DATA)
    assert measuring.asked == []


def warm(monkeypatch, identity) -> None:
    start = warm_start.WarmStart("nmf", identity, lambda *_: lambda mixture: mixture)
    monkeypatch.setattr(warm_start, "find", lambda *_: start)


def test_separator_that_training_starts_from_is_measured_too(spec, measuring, screen, monkeypatch):
    warm(monkeypatch, {"separator": "nmf", "config": nmf.DEBUG, "epochs": 2})
    plain, found = replace(MEASURED), dry_run.estimate(spec.changed(seeds_per_trial=2), DATA)
    first, second = measuring.asked
    assert first[0]["train"]["start"].shape == (4, 2, 1, 128)
    context = second[0]["context"]
    assert (context.separator, context.members, context.max_epochs) == (nmf.DEBUG, 1, 2)
    assert second[1:4] == ({}, 0, 1)
    # Two epochs without validation, and the separation of the 4 training items at 0.25 s each.
    own = plain.trial_seconds(2, {}) - 2 * 0.75 + 4 * 0.25
    warm(monkeypatch, {"model": "digest"})
    registered = dry_run.estimate(spec.changed(seeds_per_trial=2), DATA)
    assert found.seconds.most - registered.seconds.most == pytest.approx(3 * own)  # for the search, and for two seeds
    assert len(measuring.asked) == 3


@pytest.mark.slow
def test_small_study_is_really_measured(tmp_path, screen, monkeypatch):
    spec = StudySpec(
        name="real", separator=cass.DEBUG, task=ecg.DEBUG, space={}, trials=2, max_epochs=2, finalists=1, final_seeds=1,
        concurrency=1, scheduler="none", storage=f"sqlite:///{tmp_path}/optuna.db",
        storage_path=str(tmp_path / "results"),
        tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", cache=tmp_path / "cache",
    )  # fmt: skip
    found = dry_run.estimate(spec)
    measured = found.measurement
    data = spec.task.load(tmp_path / "cache")
    separator = cass.DEBUG.build(data.signal)
    assert found.supervision == Supervision.PAIRED.value
    assert measured.parameters == sum(p.numel() for p in separator.parameters())
    assert measured.weights_bytes == sum(t.numel() * t.element_size() for t in separator.state_dict().values())
    assert measured.steps == 1  # 24 items, in batches of 50
    assert len(measured.epochs) == 2
    # Weights, two moments and Adam's steps of each, and a header.
    assert 3 * measured.weights_bytes < measured.checkpoint_bytes < 20 * measured.weights_bytes
    assert found.disk.files == 3
    assert found.seconds.least == found.seconds.most > 2 * measured.worker_start
    assert found.status == 0
    assert {path.name for path in tmp_path.iterdir()} <= {"cache"}


BROKEN = """
import sys
from dataclasses import dataclass
from sepray.contracts import Separator


@dataclass(frozen=True)
class Config:
    batch_size: int = 4
    betas: tuple = (0.9, 0.999)

    def build(self, signal):
        return Broken(signal)


class Broken(Separator):
    def hyperparameters(self):
        return {"rate": 0.1}

    def fit_epoch(self, data, hyperparameters, generator):
        print("what a separator prints is no answer")
        return {"error": BREAKS}

    def separate(self, mixture):
        return mixture[:, None]
"""


@pytest.mark.parametrize(
    ("breaks", "told"),
    [
        pytest.param("1 / 0", "ZeroDivisionError", marks=pytest.mark.slow),
        ("sys.exit(5)", "the code ended the process with status 5"),
    ],
)
def test_error_in_the_users_own_code_is_told_with_its_traceback(spec, screen, tmp_path, monkeypatch, breaks, told):
    (tmp_path / "broken_separator.py").write_text(BROKEN.replace("BREAKS", breaks))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_separator", raising=False)
    broken = spec.changed(
        separator="broken_separator", space={}, reference_points={}, controls={}, concurrency=1, name="broken"
    )
    found = dry_run.estimate(broken, DATA)
    sys.modules.pop("broken_separator")
    assert found.status == 3
    shown = "\n".join(text.lines(found))
    assert told in shown
    assert str(tmp_path / "broken_separator.py") in shown
    assert "trainer.py" not in shown
