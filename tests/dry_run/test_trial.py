"""The trial that a dry run tries: its figures by a simulated clock, and as the process of its own that it is."""

import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.choices import Objective
from sepray.contracts import Signal
from sepray.dry_run import trial
from sepray.dry_run.trial import Job, measure, steps_of
from sepray.execution import checkpoint
from sepray.execution.members import Members
from sepray.execution.trainable import TrialContext
from sepray.separators import cass
from sepray.training.augmentation import PLAIN

from .clockwork import BUILT, CLOCK, Config

SIGNAL = Signal(("low", "high"), 1, (128,), 64.0)
L2 = Objective("validation/relative_l2", "minimize")


def context(config=None, **changes) -> TrialContext:
    values = {
        "separator": config or Config(),
        "signal": SIGNAL,
        "objectives": (L2,),
        "max_epochs": 6,
        "members": 1,
        "checkpoints": "",
        "checkpoint_seconds": 10.0,
        "device": "cpu",
        "threads": 1,
        "augmentation": PLAIN,
        "deterministic": False,
        "epoch_timeout": 0.0,
        "origin": {},
        "shared": False,
        **changes,
    }
    return TrialContext(**values)


def view(items: int) -> dict[str, torch.Tensor]:
    sources = torch.randn(items, 2, 1, 128, generator=torch.Generator().manual_seed(items))
    return {"mixture": sources.sum(1), "sources": sources}


@pytest.fixture
def built(monkeypatch) -> list[Members]:
    """The members that are measured."""
    made = []

    class Kept(Members):
        def __init__(self, *arguments, **settings):
            super().__init__(*arguments, **settings)
            made.append(self)

    monkeypatch.setattr(trial, "Members", Kept)
    return made


def measured(tmp_path, config=None, *, settings=None, train=18, validation=10, epochs=99, seconds=1000.0, **changes):
    return measure(
        context(config, **changes),
        view(train),
        view(validation),
        settings or {},
        seed=3,
        epochs=epochs,
        seconds=seconds,
        folder=str(tmp_path),
        clock=CLOCK,
    )


def test_every_part_of_a_training_is_timed(tmp_path):
    found = measured(tmp_path)
    assert found["setup"] == pytest.approx(0.5 + 1.5)
    assert found["epochs"] == pytest.approx([4, 1, 3, 3, 3, 3])
    assert found["step"] == pytest.approx(0.25 + 2 * 0.125)
    assert found["phases"] == [(None, pytest.approx(0.25)), ("adversarial", pytest.approx(0.25))]
    assert found["steps"] == 4  # 18 items in batches of 4
    assert found["validation"] == pytest.approx(0.1)
    assert found["problem"] == ""


def test_what_only_a_workers_first_trial_takes_is_part_of_its_start(tmp_path):
    BUILT.clear()
    found = measured(tmp_path, Config(first_build_seconds=3.0))
    assert found["worker_start"] == pytest.approx(3.0 + 7.0)  # of building, and of the first step
    assert found["setup"] == pytest.approx(0.5 + 1.5)
    assert found["step"] == pytest.approx(0.5)
    assert measured(tmp_path, Config(fits=True))["worker_start"] == pytest.approx(0.0)
    assert measured(tmp_path, Config(warm_up_seconds=-0.125))["worker_start"] == pytest.approx(0.0)


def test_time_grows_with_the_separators_of_a_trial(tmp_path):
    found = measured(tmp_path, members=3)
    assert found["setup"] == pytest.approx(3 * 2)
    assert found["epochs"] == pytest.approx([12, 3, 9, 9, 9, 9])
    assert found["step"] == pytest.approx(3 * 0.5)
    assert [seconds for *_, seconds in found["phases"]] == pytest.approx([0.75, 0.75])
    assert found["validation"] == pytest.approx(0.3)
    assert found["parameters"] == 5
    assert found["weights_bytes"] == 4 * 10


def test_only_the_first_steps_of_an_epoch_are_trained_on_batches_of_the_full_size(tmp_path, built):
    measured(tmp_path, train=42)
    [trainer] = built[1].trainers
    assert trainer.separator.batches == [4] * (3 * 6)
    assert trainer.separator.seen == [42] * 6  # outer iterations see all
    assert trainer.items == 42


def test_epoch_of_fewer_steps_has_no_more(tmp_path, built):
    found = measured(tmp_path, train=9)
    assert built[1].trainers[0].separator.batches == [4] * (2 * 6)
    assert found["steps"] == 2


def test_fewer_items_than_a_batch_are_one_step(tmp_path, built):
    found = measured(tmp_path, train=3)
    assert built[1].trainers[0].separator.batches == [3] * 6
    assert found["steps"] == 1
    assert (steps_of(7, 4), steps_of(8, 4), steps_of(3, 4)) == (1, 2, 1)


def test_skipped_phase_takes_no_time(tmp_path):
    found = measured(tmp_path, settings={"adversarial": 0.0})
    assert found["step"] == pytest.approx(0.25)
    assert [seconds for *_, seconds in found["phases"]] == pytest.approx([0.25, 0])


def test_method_without_steps_is_timed_by_epoch(tmp_path):
    found = measured(tmp_path, Config(fits=True))
    assert found["epochs"] == pytest.approx([24, 6, 8, 8, 8, 8])
    assert (found["step"], found["phases"], found["steps"]) == (0, [], 0)


@pytest.mark.parametrize(
    ("seconds", "epochs"),
    [(1000, 6), (19.6, 4), (19.5, 3), (15.1, 3), (15, 2), (0, 2)],  # epochs end after 12.5, 15 and 19.5 s
)
def test_measuring_ends_in_time_after_two_epochs(tmp_path, built, seconds, epochs):
    assert len(measured(tmp_path, seconds=seconds)["epochs"]) == epochs


def test_steps_end_in_time_too(tmp_path, built):
    """The first step ends after 11.5 s; the second epoch has one step, whatever the time."""
    measured(tmp_path, seconds=11.0)
    assert built[1].trainers[0].separator.batches == [4, 4]


def test_no_more_epochs_than_asked_for_and_than_the_budget(tmp_path):
    assert len(measured(tmp_path, epochs=1)["epochs"]) == 1
    assert len(measured(tmp_path, max_epochs=3)["epochs"]) == 3


@pytest.mark.parametrize(("first", "epochs"), [(120.0, 6), (120.01, 1)])
def test_second_epoch_is_spared_where_the_first_takes_two_minutes(tmp_path, first, epochs):
    config = Config(outer_seconds=(first, 1.0), warm_up_seconds=0, first_seconds=0, second_seconds=0)
    assert len(measured(tmp_path, config)["epochs"]) == epochs


def test_validation_is_scaled_from_what_can_be_scored_in_time(tmp_path, built):
    """Two items take 0.02 s, so that 0.1 s are enough for 10 items."""
    found = measured(tmp_path, validation=50, seconds=0.1)
    assert built[1].trainers[0].separator.separated == [2, 10]
    assert found["validation"] == pytest.approx(0.5)


def test_validation_scores_no_more_than_a_batch_and_no_fewer_than_two(tmp_path, built):
    measured(tmp_path, validation=50, evaluation_batch=30)
    assert built[-1].trainers[0].separator.separated == [2, 30]
    measured(tmp_path, validation=50, seconds=0)
    assert built[-1].trainers[0].separator.separated == [2, 2]
    measured(tmp_path, Config(separate_seconds=0.0), validation=50, seconds=0)
    assert built[-1].trainers[0].separator.separated == [2, 50]


def test_separator_validates_as_in_a_study(tmp_path, built):
    measured(tmp_path)
    assert not built[1].trainers[0].separator.training


def test_checkpoint_is_that_of_a_trial_at_its_end(tmp_path, built):
    found = measured(tmp_path, max_epochs=50)
    [path] = tmp_path.glob("epoch-*")
    assert found["checkpoint_bytes"] == path.stat().st_size
    saved = checkpoint.newest(str(tmp_path))
    assert saved.tensors.keys() == built[1].state()[0].keys()
    assert len(saved.metadata["history"]) == 50
    keys = {"train/mse", "train/adversarial", "validation/relative_l2", "validation/low/si_sdr"}
    assert keys | {"epoch", "objective", "epoch_seconds", "timestamp_ms"} <= saved.metadata["history"][0].keys()


def test_saving_is_timed(tmp_path, monkeypatch):
    real = checkpoint.save

    def slow(*arguments):
        CLOCK.now += 0.75
        return real(*arguments)

    monkeypatch.setattr(checkpoint, "save", slow)
    assert measured(tmp_path)["saving"] == pytest.approx(0.75)


def test_loss_that_is_not_finite_ends_the_training(tmp_path):
    found = measured(tmp_path, Config(diverges_at=2))
    assert found["epochs"] == pytest.approx([4, 1])
    assert found["problem"] == "total of phase first is not finite in epoch 3, step 1"
    at_once = measured(tmp_path, Config(diverges_at=0))
    assert (at_once["epochs"], at_once["problem"][:30]) == ([], "total of phase first is not fi")


def test_memory_is_the_peak_and_tells_apart_what_is_shared():
    block = np.ones(150 << 20, dtype=np.uint8)
    del block
    found = trial.memory("cpu")
    now = trial.psutil.Process().memory_info()
    assert found["private_bytes"] + found["shared_bytes"] >= now.rss
    assert (found["gpu_bytes"], found["gpu_machine_bytes"]) == (0, 0)
    if Path("/proc/self/status").exists():
        assert found["shared_bytes"] == pytest.approx(now.shared, rel=0.1)
        assert found["private_bytes"] > 150 << 20


@pytest.mark.parametrize("threads", [1, 3])
def test_job_has_the_data_as_a_worker_gets_them(tmp_path, monkeypatch, threads):
    data = {"train": view(6), "validation": view(5)}
    for part, tensors in data.items():
        for name, tensor in tensors.items():
            np.save(tmp_path / f"{part}-{name}.npy", tensor.numpy())
    seen = {}

    def fake(of, train, validation, settings, **more):
        seen.update(train=train, validation=validation, settings=settings, context=of, **more)
        seen["threads"] = torch.get_num_threads()
        return {"setup": 1.0, "worker_start": 0.5}

    monkeypatch.setattr(trial, "measure", fake)
    before = torch.get_num_threads()
    try:
        found = trial.run(Job(context(threads=threads), str(tmp_path), {"rate": 0.5}, 7, 2, 4.0))
    finally:
        torch.set_num_threads(before)
    assert found["setup"] == 1.0
    assert found["private_bytes"] > 0
    for part, tensors in data.items():
        assert {name: torch.equal(tensor, seen[part][name]) for name, tensor in tensors.items()} == {
            "mixture": True,
            "sources": True,
        }
    seen["validation"]["mixture"] += 1  # a copy, as in a worker
    told = {name: seen[name] for name in ("settings", "seed", "epochs", "seconds", "folder")}
    own = str(tmp_path / str(os.getpid()))
    assert told == {"settings": {"rate": 0.5}, "seed": 7, "epochs": 2, "seconds": 4.0, "folder": own}
    assert seen["threads"] == threads
    before, seconds = seen["clock"](), time.perf_counter()
    while time.perf_counter() < seconds + 0.2:
        time.sleep(0.01)
    assert (seen["clock"]() - before >= 0.2) is (threads > 1)  # one that sleeps takes no CPU time
    assert found["slowdown"] >= 1.0


def script(job: bytes) -> dict:
    command = [sys.executable, "-m", "sepray.dry_run.trial"]
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    done = subprocess.run(command, input=job, capture_output=True, check=True, env={**os.environ, "PYTHONPATH": path})
    return json.loads(done.stdout)


@pytest.mark.slow
def test_script_answers_with_figures_or_with_a_traceback(tmp_path):
    for part, items in (("train", 6), ("validation", 3)):
        for name, tensor in view(items).items():
            np.save(tmp_path / f"{part}-{name}.npy", tensor.numpy())
    found = script(pickle.dumps(Job(context(cass.DEBUG, max_epochs=2), str(tmp_path), {}, 0, 2, 0.0)))
    model = cass.DEBUG.build(SIGNAL)
    assert found["parameters"] == sum(p.numel() for p in model.parameters())
    assert found["steps"] == steps_of(6, cass.DEBUG.batch_size)
    assert len(found["epochs"]) == 2
    assert 0 < found["worker_start"] < 60
    assert found["private_bytes"] > 50 << 20  # Python with torch and Ray
    assert found["problem"] == ""
    failed = script(b"no pickle")
    assert failed["error"].startswith("Traceback")
    assert failed["out_of_memory"] is False
