"""Trials on a GPU, as the actors of a study train them: checkpoints, and too little memory."""

import pytest
import torch

from sepray.execution import trainable
from sepray.execution.trainable import MEMORY_RETRIES

from ..execution.bench import Config, run, step, weights
from ..execution.conftest import bench  # noqa: F401

pytestmark = pytest.mark.gpu
TOO_MUCH = 2**43
"""Bytes that no GPU has."""


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(trainable, "MEMORY_PAUSE_SECONDS", 0.0)


def test_a_trial_says_which_gpu_it_ran_on_and_ends_as_on_a_cpu(bench):  # noqa: F811
    there, here = run(bench(device="cuda")), run(bench(number=1))
    [conditions] = there[0]["conditions"]
    assert conditions["device"] == torch.cuda.get_device_name()
    assert [r["outcome"] for r in there] == ["", "", "complete"]
    assert there[-1]["objective"] == pytest.approx(here[-1]["objective"], rel=1e-3)


def test_a_trial_goes_on_where_there_is_no_gpu(bench):  # noqa: F811
    first = bench(device="cuda")
    step(first)
    whole = run(bench(number=1, device="cuda"))
    first.stop()
    rest = run(bench())
    assert [r["epoch"] for r in rest] == [2, 3]
    assert rest[-1]["objective"] == pytest.approx(whole[-1]["objective"], rel=1e-3)


def test_too_little_memory_for_a_while_costs_no_trial(bench):  # noqa: F811
    tries = []

    def event(separator, epoch):
        tries.append(epoch)
        if len(tries) == 2:
            torch.empty(TOO_MUCH, dtype=torch.uint8, device="cuda")

    trial = bench(Config(event=event), device="cuda")
    assert [r["outcome"] for r in run(trial)] == ["", "", "complete"]
    assert tries == [0, 1, 1, 2]
    expected = bench(number=1, device="cuda")
    run(expected)
    torch.testing.assert_close(weights(trial), weights(expected))


def test_too_little_memory_every_time_ends_the_trial(bench):  # noqa: F811
    def event(separator, epoch):
        if epoch == 1:
            torch.empty(TOO_MUCH, dtype=torch.uint8, device="cuda")

    last = run(bench(Config(event=event), device="cuda"))[-1]
    assert (last["outcome"], last["epoch"]) == ("out_of_memory", 1)
    assert last["reason"].startswith("OutOfMemoryError: ")
    assert last["reason"].endswith(f"({MEMORY_RETRIES} retries)")
