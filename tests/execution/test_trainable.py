"""One trial from its first epoch to its outcome, driven as Tune drives it, with no Ray running."""

import contextlib
import errno
import math
import os
import shutil
import weakref
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray import fault
from sepray.choices import Objective
from sepray.contracts import Augmentation
from sepray.errors import UsageError
from sepray.execution import checkpoint, items, trainable
from sepray.execution.trainable import CHECKPOINT_PAUSES_SECONDS, MEMORY_RETRIES
from sepray.execution.verdict import COLLAPSE_PATIENCE
from sepray.scoring import metrics
from sepray.separators import cass

from .bench import L2, SIGNAL, TRAIN, VALIDATION, Config, Gains, asked, run, same, step, values, weights


def test_results_hold_parts_every_measure_and_the_objective_and_the_budget_ends_the_trial(bench):
    trial = bench(objectives=(Objective("validation/low/si_sdr", "maximize"), L2))
    first, second, last = run(trial)
    assert [r["epoch"] for r in (first, second, last)] == [1, 2, 3]
    assert [r["outcome"] for r in (first, second, last)] == ["", "", "complete"]
    assert [r["done"] for r in (first, second, last)] == [False, False, True]
    assert first["train/mse"] > last["train/mse"] > 0
    assert "history" not in first

    # Independently: all items at once, through the weights as they now are.
    gains = weights(trial)["gains"][None, :, None, None]
    mixture, sources = torch.tensor(VALIDATION["mixture"]), torch.tensor(VALIDATION["sources"])
    expected = metrics.summary(metrics.score(mixture[:, None] * gains, sources, SIGNAL), SIGNAL.sources)
    measures = {k.removeprefix("validation/"): v for k, v in last.items() if k.startswith("validation/")}
    assert measures == pytest.approx(expected, rel=1e-5)
    assert {"low/relative_l1", "high/relative_linf", "high/energy_ratio", "relative_l2"} <= set(measures)
    # Measures of different units have no mean: the first stands for the trial, with a minus sign if more is better.
    assert last["objective"] == pytest.approx(-expected["low/si_sdr"], rel=1e-5)
    assert last["timestamp_ms"] >= second["timestamp_ms"] > 1_600_000_000_000
    assert last["epoch_seconds"] > 0


def test_tune_passes_results_on_as_they_are(bench):
    through, direct = bench(number=1), bench(number=2)
    assert values(through.train()) == values(direct.step())


@pytest.mark.parametrize("epoch", [0, 1])
def test_nan_loss_ends_as_diverged_and_touches_no_weight(bench, epoch):
    kept = {}

    def event(separator, now):
        if now == epoch:
            kept.update({k: v.clone() for k, v in separator.state_dict().items()})
            separator.input = math.nan

    trial = bench(Config(event=event))
    results = run(trial)
    assert len(results) == epoch + 1
    assert results[-1]["outcome"] == "diverged"
    assert results[-1]["reason"] == f"mse of phase gains is not finite in epoch {epoch + 1}, step 1"
    assert results[-1]["epoch"] == epoch
    assert results[-1]["objective"] == pytest.approx(results[0]["objective"] if epoch else math.nan, nan_ok=True)
    assert same(weights(trial), kept)


def test_metric_that_is_not_finite_ends_as_diverged(bench):
    def event(separator, epoch):
        separator.output = math.inf if epoch == 1 else 1.0

    first, last = run(bench(Config(event=event)))
    assert first["outcome"] == ""
    assert (last["outcome"], last["epoch"]) == ("diverged", 2)
    assert "validation/" in last["reason"]
    assert "at epoch 2" in last["reason"]


def test_code_that_raises_in_the_loss_ends_as_an_error_with_its_traceback(bench):
    def event(separator, epoch):
        if epoch == 1:
            raise ZeroDivisionError("no such\nfrequency")

    first, last = run(bench(Config(event=event)))
    assert (last["outcome"], last["done"], last["epoch"]) == ("error", True, 1)
    assert last["reason"] == "ZeroDivisionError: no such", "one line; the rest is in the traceback"
    assert "in event" in last["traceback"]
    assert last["objective"] == first["objective"]


def test_reasons_and_tracebacks_have_no_secrets(bench, monkeypatch):
    monkeypatch.setenv("LAB_TOKEN", "c4nary-token")

    def event(separator, epoch):
        raise RuntimeError("c4nary-token does not open https://h/x?sig=abc\nnor postgresql://me:pw@h")

    [last] = run(bench(Config(event=event)))
    assert last["reason"] == "RuntimeError: *** does not open https://h/x?sig=***"
    assert "postgresql://me:***@h" in last["traceback"]
    assert "c4nary" not in last["traceback"]


def test_code_that_raises_in_build_ends_as_an_error_at_the_first_step(bench):
    @dataclass(frozen=True)
    class Broken(Config):
        def build(self, signal):
            raise KeyError("width")

    [last] = run(bench(Broken()))
    assert (last["outcome"], last["epoch"], last["reason"]) == ("error", 0, "KeyError: 'width'")
    assert "in build" in last["traceback"]
    assert math.isnan(last["objective"])


def test_unknown_hyperparameter_ends_as_an_error_that_the_user_can_put_right(bench):
    [last] = run(bench(settings={"gamma": 1.0}))
    assert (last["outcome"], last["refused"]) == ("error", True)
    assert last["reason"] == "unknown hyperparameter gamma; there are: noise, rate"
    assert "in resolve" in last["traceback"]


@pytest.mark.parametrize(
    ("error", "reason", "refused"),
    [
        (UsageError("give another\nwidth"), "give another; width", True),
        (
            FileNotFoundError(2, "No such file or directory", "weights.pt"),
            "weights.pt: No such file or directory",
            True,
        ),
        (OSError("no name"), "OSError: no name", None),
        (ValueError("broken"), "ValueError: broken", None),
    ],
)
def test_errors_that_the_user_can_put_right_are_told_from_bugs(bench, error, reason, refused):
    def event(separator, epoch):
        raise error

    [last] = run(bench(Config(event=event)))
    assert (last["outcome"], last["reason"], last.get("refused")) == ("error", reason, refused)


def collapse(*epochs: int) -> Config:
    """The second source's estimate is silent after these epochs, counted from 1; set ``rate`` to 0."""

    def event(separator, epoch):
        separator.gains.data[:] = torch.tensor([0.5, 0.0 if epoch + 1 in epochs else 0.5])

    return Config(event=event)


def test_collapsed_source_ends_the_trial_after_exactly_as_many_epochs_in_a_row(bench):
    trial = bench(collapse(*range(3, 100)), settings={"rate": 0.0}, max_epochs=100)
    results = run(trial)
    assert len(results) == 2 + COLLAPSE_PATIENCE
    assert [r["outcome"] for r in results] == [""] * (1 + COLLAPSE_PATIENCE) + ["collapsed"]
    end = f"({COLLAPSE_PATIENCE} epochs in a row, at epoch {2 + COLLAPSE_PATIENCE})"
    assert results[-1]["reason"] == f"the estimate of high has collapsed {end}"
    assert results[-1]["validation/high/energy_ratio"] == 0
    assert results[-1]["done"]


def test_source_that_recovers_is_counted_anew(bench):
    silent = {*range(1, COLLAPSE_PATIENCE), *range(COLLAPSE_PATIENCE + 1, 2 * COLLAPSE_PATIENCE)}
    budget = 2 * COLLAPSE_PATIENCE
    results = run(bench(collapse(*silent), settings={"rate": 0.0}, max_epochs=budget))
    assert len(results) == budget
    assert results[-1]["outcome"] == "complete"


def test_collapse_is_counted_on_across_a_restart(bench):
    config, settings = collapse(*range(100)), {"rate": 0.0}
    first = bench(config, settings=settings, max_epochs=100)
    for _ in range(COLLAPSE_PATIENCE - 2):
        step(first)
    results = run(bench(config, settings=settings, max_epochs=100))
    assert [r["epoch"] for r in results] == [COLLAPSE_PATIENCE - 1, COLLAPSE_PATIENCE]
    assert results[-1]["outcome"] == "collapsed"


def test_separator_names_its_own_failure(bench):
    """CASS's own sentence holds the error, so that it is another one after each epoch."""
    bounds = {}

    def failing(result):
        bounds.setdefault("first", result["train/mse"])
        return None if result["train/mse"] == bounds["first"] else f"the critic won at {result['train/mse']}"

    results = run(bench(Config(failing=failing), max_epochs=100))
    assert len(results) == 1 + COLLAPSE_PATIENCE
    assert results[-1]["outcome"] == "collapsed"
    end = f"({COLLAPSE_PATIENCE} epochs in a row, at epoch {1 + COLLAPSE_PATIENCE})"
    assert results[-1]["reason"] == f"the critic won at {results[-1]['train/mse']} {end}"


class OutOfMemory:
    """Raises in the second epoch, ``times`` times."""

    def __init__(self, times: int, error: BaseException | None = None) -> None:
        self.times, self.error = times, error or torch.OutOfMemoryError("CUDA out of memory.\nTried to ...")
        self.built: list[weakref.ref] = []

    def __call__(self, separator, epoch):
        if not self.built or self.built[-1]() is not separator:
            self.built.append(weakref.ref(separator))
        if epoch == 1 and self.times:
            self.times -= 1
            raise type(self.error)(*self.error.args)


def test_out_of_memory_goes_on_from_the_newest_checkpoint_after_growing_pauses(bench, clock):
    expected = run(bench(number=1))
    event = OutOfMemory(MEMORY_RETRIES)
    results = run(bench(Config(event=event)))
    assert [values(r) for r in results] == [values(r) for r in expected]
    assert all("history" not in r for r in results)
    assert len(event.built) == 1 + MEMORY_RETRIES
    assert clock.slept == [trainable.MEMORY_PAUSE_SECONDS * n for n in range(1, MEMORY_RETRIES + 1)]


def test_out_of_memory_is_given_up_after_the_retries(bench, clock):
    event = OutOfMemory(100)
    _, last = run(bench(Config(event=event)))
    assert (last["outcome"], last["done"], last["epoch"]) == ("out_of_memory", True, 1)
    assert last["reason"] == f"OutOfMemoryError: CUDA out of memory. ({MEMORY_RETRIES} retries)"
    assert event.times == 100 - MEMORY_RETRIES - 1
    assert len(clock.slept) == MEMORY_RETRIES


def test_out_of_memory_before_the_first_checkpoint_begins_again(bench, clock):
    """The count of epochs with a collapsed source begins again, too: a source is silent in all but the last epoch."""
    memory, silent, begun = OutOfMemory(1), collapse(*range(1, COLLAPSE_PATIENCE)).event, []

    def event(separator, epoch):
        begun.append(epoch)
        memory(separator, epoch)
        silent(separator, epoch)

    settings = {"rate": 0.0}
    results = run(bench(Config(event=event), settings=settings, max_epochs=COLLAPSE_PATIENCE, checkpoint_seconds=1e9))
    assert begun == [0, 1, *range(COLLAPSE_PATIENCE)]
    assert results[-1]["outcome"] == "complete"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."), "complete"),
        (MemoryError(), "complete"),
        (RuntimeError("shapes differ"), "error"),
    ],
)
def test_what_counts_as_out_of_memory(bench, clock, error, outcome):
    results = run(bench(Config(event=OutOfMemory(1, error))))
    assert results[-1]["outcome"] == outcome
    assert len(clock.slept) == (outcome == "complete")


def test_memory_is_given_back_before_the_pause(bench, clock):
    event, alive = OutOfMemory(2), []
    clock.sleep = lambda seconds: alive.append([built() is not None for built in event.built])
    assert run(bench(Config(event=event)))[-1]["outcome"] == "complete"
    assert alive == [[False], [False, False]]


@pytest.mark.parametrize("config", [Config(), cass.DEBUG], ids=["gains", "cass"])
def test_killed_trial_goes_on_bit_for_bit_in_another_actor_and_reports_what_was_before(bench, config):
    expected = run(bench(config, number=1, seed=5, max_epochs=4))
    first = bench(config, seed=5, max_epochs=4)
    before = [step(first), step(first)]
    other = bench(config, seed=5, max_epochs=4)
    after = run(other)
    assert [values(r) for r in before + after] == [values(r) for r in expected]
    assert [values(r) for r in after[0]["history"]] == [
        {k: v for k, v in values(r).items() if k not in ("outcome", "done")} for r in before
    ]
    assert [r["timestamp_ms"] for r in after[0]["history"]] == [r["timestamp_ms"] for r in before]
    assert "history" not in after[1]


def test_trial_that_was_killed_before_its_last_report_reports_again_and_trains_no_more(bench):
    first = bench()
    expected = run(first)
    trained = []
    other = bench(Config(event=lambda separator, epoch: trained.append(epoch)))
    [again] = run(other)
    assert trained == []
    assert values(again) == values(expected[-1])
    assert again["timestamp_ms"] == expected[-1]["timestamp_ms"]
    assert [r["epoch"] for r in again["history"]] == [1, 2]
    assert same(weights(other), weights(first))


@pytest.mark.parametrize("budget", [COLLAPSE_PATIENCE - 1, 100])
def test_killed_trial_has_the_outcome_that_it_was_about_to_report(bench, budget):
    """A source that is silent, in a trial that is complete one epoch before that counts, and in one that is not."""
    config, settings = collapse(*range(100)), {"rate": 0.0}
    expected = run(bench(config, settings=settings, max_epochs=budget))
    again = run(bench(config, settings=settings, max_epochs=budget))
    assert [(r["epoch"], r["outcome"]) for r in again] == [(expected[-1]["epoch"], expected[-1]["outcome"])]
    assert expected[-1]["outcome"] == ("complete" if budget < COLLAPSE_PATIENCE else "collapsed")


def test_trial_starts_from_the_estimates_of_its_seed_and_is_charged_for_them(bench):
    trial = bench(max_epochs=2, seed=7)
    estimates = np.ones((1, 2, 1, 64), np.float32)
    trial._warm_starts = {7: (estimates, 12.5), 8: (0 * estimates, 1.0)}
    assert torch.equal(trial._warm_start()["start"], torch.ones(1, 2, 1, 64))
    trial._warm_start = dict  # the separator of these tests takes none
    results = run(trial)
    assert [result.get("start_seconds") for result in results] == [12.5, None]


@pytest.mark.parametrize(("own", "epochs"), [(None, 3), (5, 5), (2, 2)])
def test_trial_may_have_a_budget_of_its_own(bench, own, epochs):
    trial = bench(max_epochs=3)
    trial.config["epochs"] = own
    results = run(trial)
    assert (len(results), results[-1]["outcome"]) == (epochs, "complete")


def test_damaged_checkpoint_is_passed_over_for_the_one_before(bench):
    expected = run(bench(number=1))
    first = bench()
    run(first)
    newest = bench.checkpoints()[-1]
    assert newest.name.startswith("epoch-000003")
    newest.write_bytes(newest.read_bytes()[:-7])
    [again] = run(bench())
    assert values(again) == values(expected[-1])
    assert [r["epoch"] for r in again["history"]] == [1, 2]


def test_actor_that_is_reused_leaves_nothing_of_the_trial_before(bench):
    event = OutOfMemory(0)
    fresh = run(bench(number=7, seed=3, settings={"rate": 0.2}))
    trial = bench(Config(event=event), number=1, seed=1, settings={"noise": 0.5})
    step(trial)
    trial._memory_failures = MEMORY_RETRIES
    shutil.rmtree(Path(bench.folder) / "trial-7")
    assert trial.reset(asked(7, 3, {"rate": 0.2}))
    assert trial._memory_failures == 0
    results = run(trial)
    assert [values(r) for r in results] == [values(r) for r in fresh]
    assert "history" not in results[0]
    assert [c.name[:12] for c in bench.checkpoints(1)] == ["epoch-000001"]


@pytest.mark.parametrize("named", ["../../others", "/others", "", ".", "..", "a/b", "trial-1\n", "s3://others"])
def test_folder_that_leads_out_of_the_stages_is_neither_written_nor_cleared(bench, tmp_path, named):
    trial = bench()
    trial.config = {**asked(), "folder": named}
    before = sorted(tmp_path.rglob("*"))
    last = trial.step()
    assert (last["outcome"], last["reason"]) == ("error", f"ValueError: {named!r} is no name of a trial's folder")
    assert sorted(tmp_path.rglob("*")) == before


def test_link_in_the_place_of_a_trials_folder_is_not_written_through(bench, tmp_path):
    trial = bench()
    (tmp_path / "theirs").mkdir()
    folder = Path(trial._folder())
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(tmp_path / "theirs")
    last = trial.step()
    assert last["outcome"] == "error"
    assert f"{folder} is a link" in last["reason"]
    assert list((tmp_path / "theirs").iterdir()) == []


def test_reused_actor_goes_on_with_a_trial_of_an_earlier_start(bench):
    earlier = bench(number=4, seed=2)
    expected = run(earlier)
    for path in bench.checkpoints(4)[1:]:
        path.unlink()
    trial = bench(number=5)
    run(trial)
    trial.reset(asked(4, 2))
    [again] = run(trial)
    assert values(again) == values(expected[-1])


def test_data_is_the_object_stores_and_no_copy_of_it(bench):
    trial = bench(members=2)
    run(trial)
    for trainer in trial._members.trainers:
        for name, array in TRAIN.items():
            assert trainer.data[name].data_ptr() == array.ctypes.data


def test_separate_may_write_to_the_mixtures_that_it_is_handed(bench):
    trial = bench()
    run(trial)
    trial._validation["mixture"].zero_()  # of memory that cannot be written to, this would end the process
    assert VALIDATION["mixture"].any()


def test_several_members_go_on_bit_for_bit(bench):
    expected = run(bench(number=1, members=2))
    step(bench(members=2))
    assert [values(r) for r in run(bench(members=2))] == [values(r) for r in expected[1:]]


def test_checkpoint_of_another_trial_gives_its_weights_and_leaves_the_settings(bench, tmp_path):
    """Population based training copies checkpoints in this way."""
    good = bench(number=1, seed=1, settings={"rate": 0.3}, max_epochs=9)
    step(good), step(good)
    good.save_checkpoint(str(tmp_path / "exploited"))
    bad = bench(number=2, seed=2, settings={"rate": 0.0}, max_epochs=9)
    step(bad)
    bad.load_checkpoint(str(tmp_path / "exploited"))
    assert same(weights(bad), weights(good))
    assert bad._members.trainers[0].hyperparameters == {"rate": 0.0, "noise": 0.1}
    result = step(bad)
    assert result["epoch"] == 3
    assert same(weights(bad), weights(good)), "its own learning rate is 0"


def test_start_from_another_trials_checkpoint_reports_its_conditions_and_no_epoch_of_the_other(bench, tmp_path):
    good = bench(number=1, seed=1, max_epochs=9)
    step(good), step(good)
    good.save_checkpoint(str(tmp_path / "exploited"))
    bad = bench(number=2, seed=2, max_epochs=9)
    bad.load_checkpoint(str(tmp_path / "exploited"))
    first, second = step(bad), step(bad)
    assert (first["epoch"], first["conditions"]) == (3, [bad._conditions])
    assert "history" not in first
    assert "conditions" not in second
    again = step(bench(number=2, seed=2, max_epochs=9))
    assert (again["epoch"], [r["epoch"] for r in again["history"]]) == (5, [3, 4])


def test_checkpoint_of_another_trial_counts_though_it_is_of_an_earlier_epoch(bench, tmp_path):
    good, bad = bench(number=1, seed=1, max_epochs=9), bench(number=2, seed=2, max_epochs=9)
    step(good)
    good.save_checkpoint(str(tmp_path / "exploited"))
    step(bad), step(bad)
    bad.load_checkpoint(str(tmp_path / "exploited"))
    assert same(weights(bad), weights(good))
    assert step(bad)["epoch"] == 2


def test_own_checkpoint_of_a_scheduler_does_not_undo_newer_training(bench, tmp_path):
    first = bench(max_epochs=9)
    step(first)
    first.save_checkpoint(str(tmp_path / "paused"))
    step(first)
    ahead = weights(first)
    other = bench(max_epochs=9)
    other.load_checkpoint(str(tmp_path / "paused"))
    assert same(weights(other), ahead)
    assert step(other)["epoch"] == 3


def test_paused_trial_goes_on_from_the_schedulers_checkpoint_where_its_own_is_older(bench, tmp_path):
    expected = run(bench(number=1))
    first = bench(checkpoint_seconds=1e9)
    step(first), step(first)
    first.save_checkpoint(str(tmp_path / "paused"))
    assert bench.checkpoints() == []
    other = bench(checkpoint_seconds=1e9)
    other.load_checkpoint(str(tmp_path / "paused"))
    [last] = run(other)
    assert values(last) == values(expected[-1])
    assert [r["epoch"] for r in last["history"]] == [1, 2]


def test_folder_without_a_sound_checkpoint_is_refused(bench, tmp_path):
    with pytest.raises(ValueError, match=r"no undamaged checkpoint in .*empty"):
        bench().load_checkpoint(str(tmp_path / "empty"))


def test_checkpoints_are_written_at_intervals_and_at_the_end(bench, clock, monkeypatch):
    saved = []
    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda f, epoch, *rest: saved.append(epoch) or save(f, epoch, *rest))
    trial = bench(checkpoint_seconds=2.5, max_epochs=8)
    for second in range(1, 9):
        clock.now = float(second)
        step(trial)
    assert saved == [3, 6, 8]
    assert [path.name[:12] for path in bench.checkpoints()] == ["epoch-000006", "epoch-000008"]


def test_interval_of_checkpoints_begins_with_the_trial_and_not_with_the_actor(bench, clock):
    trial = bench(checkpoint_seconds=2.5, max_epochs=8)
    clock.now = 10.0
    trial.reset(asked(number=1))
    kept = []
    for clock.now in (11.0, 12.0, 13.0):
        step(trial)
        kept.append(len(bench.checkpoints(1)))
    assert kept == [0, 0, 1]


def full(folder, *arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_place_that_is_full_for_a_while_costs_a_checkpoint_and_is_told(bench, monkeypatch):
    trial, save = bench(max_epochs=4), checkpoint.save
    results = []
    for write in (full, full, save, save):
        monkeypatch.setattr(checkpoint, "save", write)
        results.append(trial.step())
        if trial._writer._pending is not None:
            trial._writer._pending.exception()  # waits: the next checkpoint is due
    assert [r["outcome"] for r in results] == ["", "", "", "complete"]
    told = f"checkpoints in {bench.folder} cannot be written: OSError: [Errno 28] No space left on device"
    assert [r.get("checkpoint_trouble") for r in results] == [None, told, told, None]
    assert [path.name[:12] for path in bench.checkpoints()] == ["epoch-000003", "epoch-000004"]


def test_last_checkpoint_is_tried_again_until_the_place_takes_it(bench, clock, monkeypatch):
    trial, save, refusals = bench(checkpoint_seconds=1e9, max_epochs=2), checkpoint.save, [full] * 4
    monkeypatch.setattr(checkpoint, "save", lambda *given: (refusals.pop() if refusals else save)(*given))
    first, last = run(trial)
    assert (first["outcome"], last["outcome"], "checkpoint_trouble" in last) == ("", "complete", False)
    assert clock.slept == list(CHECKPOINT_PAUSES_SECONDS[:3])
    assert [path.name[:12] for path in bench.checkpoints()] == ["epoch-000002"]


def test_trial_whose_last_checkpoint_cannot_be_written_has_not_ended(bench, clock, monkeypatch):
    """The result tells of the failure. It does not touch the actor's next trial, and a later start ends the trial."""
    trial, save = bench(checkpoint_seconds=1e9, max_epochs=2), checkpoint.save
    monkeypatch.setattr(checkpoint, "save", full)
    _, last = run(trial)
    assert (last["outcome"], last["done"], last["epoch"]) == (fault.UNSAVED, True, 2)
    assert "No space left on device" in last["reason"]
    assert clock.slept == list(CHECKPOINT_PAUSES_SECONDS)
    monkeypatch.setattr(checkpoint, "save", save)
    trial.reset(asked(number=1))
    assert run(trial)[-1]["outcome"] == "complete"
    again = run(bench(checkpoint_seconds=1e9, max_epochs=2))
    assert [r["outcome"] for r in again] == ["", "complete"]
    assert values(again[-1]) == values(last) | {"outcome": "complete"}


def test_state_that_no_checkpoint_takes_is_the_trials_own_fault(bench, monkeypatch):
    def unknown(folder, *arguments):
        raise TypeError("Object of type set is not JSON serializable")

    monkeypatch.setattr(checkpoint, "save", unknown)
    assert run(bench(max_epochs=1))[-1]["outcome"] == "error"


def test_trial_that_diverges_needs_no_last_checkpoint(bench, clock, monkeypatch):
    def event(separator, epoch):
        separator.output = math.inf

    monkeypatch.setattr(checkpoint, "save", full)
    assert [r["outcome"] for r in run(bench(Config(event=event)))] == ["diverged"]
    assert clock.slept == []


def test_place_that_cannot_be_read_ends_no_trial(bench, clock, monkeypatch):
    def unreachable(*arguments):
        raise OSError("When listing objects: timed out")

    newest = checkpoint.newest
    monkeypatch.setattr(checkpoint, "newest", unreachable)
    [last] = run(bench())
    assert (last["outcome"], last["epoch"]) == (fault.UNSAVED, 0)
    assert f"checkpoints in {bench.folder} cannot be read: OSError: When listing objects" in last["reason"]
    monkeypatch.setattr(checkpoint, "newest", newest)
    assert run(bench())[-1]["outcome"] == "complete"


@pytest.mark.parametrize("foreign", [{"number": 1}, {"seed": 5}])
def test_checkpoint_of_another_trial_in_its_folder_is_not_taken(bench, foreign):
    other = bench(**{"number": 0, "seed": 0, **foreign})
    run(other)
    [*_, newest] = bench.checkpoints(foreign.get("number", 0))
    target = Path(bench.folder) / "trial-0"
    target.mkdir(exist_ok=True)
    newest.rename(target / newest.name)
    assert [r["epoch"] for r in run(bench())] == [1, 2, 3]


@pytest.mark.parametrize("end", ["reset", "stop"])
def test_folder_cleared_while_a_stopped_trial_writes_to_it_is_not_the_next_trials_failure(bench, monkeypatch, end):
    trial, save = bench(), checkpoint.save

    def too_late(folder, *arguments):
        raise FileNotFoundError(f"{folder} is gone")

    monkeypatch.setattr(checkpoint, "save", too_late)
    trial.step()
    monkeypatch.setattr(checkpoint, "save", save)
    if end == "stop":
        trial.stop()
        return
    assert trial.reset(asked(number=1))
    assert [r["outcome"] for r in run(trial)] == ["", "", "complete"]


@pytest.mark.parametrize("members", [1, 2])
def test_epoch_is_timed_from_its_first_step_to_the_end_of_its_validation(bench, clock, members):
    """The clock goes on by 3 s where a member begins to train, and by 4 s where it begins to separate."""

    class Slow(Gains):
        def separate(self, mixture):
            clock.now += 4.0
            return super().separate(mixture)

    @dataclass(frozen=True)
    class Timed(Config):
        def build(self, signal):
            clock.now += 1000.0  # building is no training
            return Slow(signal, self)

    def event(separator, epoch):
        clock.now += 3.0

    clock.time_ns = lambda: 1_700_000_000_123_999_999
    results = run(bench(Timed(event=event), members=members, evaluation_batch=8, checkpoint_seconds=1e9))
    assert [result["epoch_seconds"] for result in results] == [7.0 * members] * 3
    assert [result["timestamp_ms"] for result in results] == [1_700_000_000_123] * 3


def test_checkpoint_of_a_trial_that_has_not_trained_yet_is_one_to_begin_from(bench, tmp_path):
    """A scheduler may pause a trial before its first step."""
    expected = run(bench(number=1))
    bench(seed=0).save_checkpoint(str(tmp_path / "paused"))
    saved = checkpoint.newest(str(tmp_path / "paused"))
    assert saved is not None
    assert (saved.epoch, saved.metadata["history"]) == (0, [])
    other = bench(seed=0)
    other.load_checkpoint(str(tmp_path / "paused"))
    assert [values(result) for result in run(other)] == [values(result) for result in expected]


def test_checkpoint_of_another_trial_that_has_not_trained_yet_gives_its_first_weights(bench, tmp_path):
    good, bad = bench(number=1, seed=1), bench(number=2, seed=2)
    good.save_checkpoint(str(tmp_path / "exploited"))
    step(bad)
    bad.load_checkpoint(str(tmp_path / "exploited"))
    assert same(weights(bad), weights(good))
    assert step(bad)["epoch"] == 1


def test_trial_whose_second_member_cannot_be_built_is_not_taken_for_built(bench, clock):
    built = []

    @dataclass(frozen=True)
    class Greedy(Config):
        def build(self, signal):
            built.append(len(built))
            if len(built) == 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super().build(signal)

    results = run(bench(Greedy(), members=2))
    assert [values(r) for r in results] == [values(r) for r in run(bench(number=1, members=2))]
    assert len(built) == 4


def test_lost_checkpoint_does_not_hide_how_the_trial_ended(bench, monkeypatch, caplog):
    """A trial diverges while its last checkpoint fails to be written."""

    def event(separator, epoch):
        separator.input = math.nan if epoch == 1 else 1.0

    def full(folder, *arguments):
        raise OSError("no space left")

    trial = bench(Config(event=event))
    monkeypatch.setattr(checkpoint, "save", full)
    with caplog.at_level("INFO", logger=trainable.__name__):
        results = [trial.step(), trial.step()]
    assert [result["outcome"] for result in results] == ["", "diverged"]
    assert "the last checkpoint of trial 0 was not written: OSError: no space left" in caplog.text


def test_data_goes_to_the_device_that_was_asked_for():
    array = np.ones((2, 3), np.float32)
    assert items.without_copy(array, "meta").device.type == "meta"
    assert items.without_copy(array, "cpu").data_ptr() == array.ctypes.data


def test_torch_takes_the_threads_of_the_trial(bench):
    for threads in (2, 1):
        bench(threads=threads)
        assert torch.get_num_threads() == threads


def test_cass_learns_with_the_settings_of_the_trial(bench):
    settings = {"autoencoder_learning_rate": 3e-3, "adversarial": 0.0}
    config = replace(cass.DEBUG, batch_size=4)
    results = run(bench(config, settings=settings, max_epochs=4))
    assert results[-1]["outcome"] == "complete"
    assert results[-1]["validation/relative_l2"] < results[0]["validation/relative_l2"]
    assert {"train/mse/low", "train/mse/high"} <= set(results[0])
    assert not [name for name in results[0] if name.startswith(("train/adversarial/", "train/discriminator/"))]


def test_training_items_are_augmented_as_the_study_says(bench):
    # Validation items have 64 samples; crops of 8 are seen in training alone.
    trial = bench(augmentation=Augmentation(crop=8))
    step(trial)
    separator = trial._members.trainers[0].separator
    assert {shape[-1] for shape in separator.trained} == {8}
    assert {shape[-1] for shape in separator.separated} == {64}


def test_each_epoch_has_its_limit(bench, monkeypatch):
    told = []

    @contextlib.contextmanager
    def limit(seconds):
        told.append(seconds)
        yield
        told.append("ended")

    monkeypatch.setattr(trainable, "time_limit", limit)
    run(bench(epoch_timeout=30.0))
    assert told == [30.0, "ended"] * 3


@pytest.mark.parametrize(("shared", "mask"), [(False, 0o077), (True, 0o007)])
def test_worker_writes_for_nobody_else_or_for_the_group(bench, shared, mask):
    before = os.umask(0o022)
    try:
        bench(shared=shared)
        assert os.umask(before) == mask
    finally:
        os.umask(before)


# -- a node that cannot train ----------------------------------------------------------------------------------------


def broken(error):
    def event(*arguments, **named):
        raise error

    return event


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Found no NVIDIA driver on your system"),
        AssertionError("Torch not compiled with CUDA enabled"),
        ValueError("no such device"),
    ],
)
def test_device_that_a_node_lacks_is_the_nodes_fault_which_is_named(bench, monkeypatch, error):
    monkeypatch.setattr(items, "without_copy", broken(error))
    monkeypatch.setattr(trainable.platform, "node", lambda: "gpu7")
    monkeypatch.setattr(trainable, "get_node_ip_address", lambda: "192.0.2.7")
    [last] = run(bench())
    assert (last["outcome"], last["epoch"], last["traceback"]) == (fault.UNPREPARED, 0, "")
    assert last["reason"] == f"node gpu7 (192.0.2.7) cannot run trials: {type(error).__name__}: {error}"


@dataclass(frozen=True)
class Importing(Config):
    """A separator whose ``build``, or the ``prepare`` of what it builds, raises the error."""

    error: Exception | None = None
    preparing: bool = False

    def build(self, signal):
        if not self.preparing:
            raise self.error
        made = super().build(signal)
        made.prepare = broken(self.error)
        return made


MISSING = ModuleNotFoundError("No module named 'soxr'")


def test_module_that_a_node_lacks_is_the_nodes_fault(bench):
    [last] = run(bench(Importing(error=MISSING)))
    assert last["outcome"] == fault.UNPREPARED
    assert last["reason"].endswith("cannot run trials: ModuleNotFoundError: No module named 'soxr'")


@pytest.mark.parametrize(
    "config",
    [
        Importing(error=ImportError("cannot import name 'no_such_name' from 'torch'")),
        Importing(error=ImportError("cannot import name 'no_such_name' from 'torch'"), preparing=True),
        Importing(error=MISSING, preparing=True),
        Importing(error=RuntimeError("shapes do not fit")),
    ],
)
def test_what_the_trials_own_code_raises_is_not_the_nodes_fault(bench, config):
    [last] = run(bench(config))
    assert (last["outcome"], last.get("refused")) == ("error", None)
    assert last["reason"] == f"{type(config.error).__name__}: {config.error}"
    assert ("in event" if config.preparing else "in build") in last["traceback"]


def test_module_that_a_step_lacks_fails_the_trial_alone(bench):
    assert run(bench(Config(event=broken(ImportError("No module named 'soxr'")))))[-1]["outcome"] == "error"


def test_data_that_finds_no_memory_on_the_device_is_moved_again(bench, clock, monkeypatch):
    move, refusals = items.without_copy, [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()]
    monkeypatch.setattr(items, "without_copy", lambda *given: broken(refusals.pop())() if refusals else move(*given))
    assert [r["outcome"] for r in run(bench())] == ["", "", "complete"]
    assert clock.slept == [10.0, 20.0]


def test_data_is_moved_once_for_all_trials_of_an_actor(bench, monkeypatch):
    moved, move = [], items.without_copy
    monkeypatch.setattr(items, "without_copy", lambda *given: moved.append(1) or move(*given))
    trial = bench()
    run(trial)
    trial.reset(asked(number=1))
    run(trial)
    assert len(moved) == len(TRAIN)
