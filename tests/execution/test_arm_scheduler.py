"""Every arm has a scheduler of its own, which hears of its trials alone."""

from types import SimpleNamespace

import pytest

from sepray.execution.arm_scheduler import ByArm


class Kept:
    """A scheduler that keeps what it is told."""

    def __init__(self, history):
        self.history, self.calls, self.chosen = list(history), [], None

    def __getattr__(self, name):
        if not name.startswith("on_trial_"):
            raise AttributeError(name)
        return lambda controller, trial, *given: self.calls.append((name, trial, *given)) or "STOP"

    def choose_trial_to_run(self, controller):
        return self.chosen

    def debug_string(self):
        return f"{len(self.calls)} calls"


@pytest.fixture
def made():
    return []


@pytest.fixture
def scheduler(made):
    def make(history):
        made.append(Kept(history))
        return made[-1]

    return ByArm(make, [(4, [(1, 0.5)]), (5, [(1, 0.7)]), (6, [(2, 0.1)]), (9, [(1, 0.2)])], {4: "a", 5: "b", 6: "a"})


def trial(arm):
    return SimpleNamespace(config={"arm": arm} if arm is not None else {})


def test_history_is_divided_by_arms_and_trials_without_one_are_their_own(scheduler, made):
    assert [kept.history for kept in made] == [[(4, [(1, 0.5)]), (6, [(2, 0.1)])], [(5, [(1, 0.7)])], [(9, [(1, 0.2)])]]
    nothing = trial(None)
    scheduler.on_trial_add(None, nothing)
    assert made[2].calls == [("on_trial_add", nothing)]


def test_arm_hears_of_its_trials_alone_and_decides(scheduler, made):
    b, c = trial("b"), trial("c")
    assert scheduler.on_trial_result(None, b, {"epoch": 3}) == "STOP"
    scheduler.on_trial_error(None, b)
    scheduler.on_trial_remove(None, b)
    scheduler.on_trial_complete(None, c, {"epoch": 4})
    names = [("on_trial_result", b, {"epoch": 3}), ("on_trial_error", b), ("on_trial_remove", b)]
    assert [kept.calls for kept in made] == [[], names, [], [("on_trial_complete", c, {"epoch": 4})]]
    assert made[3].history == []
    assert scheduler.debug_string() == "a: 0 calls; b: 3 calls; : 0 calls; c: 1 calls"


def test_first_arm_with_a_choice_chooses(scheduler, made):
    assert scheduler.choose_trial_to_run(None) is None
    made[1].chosen, made[2].chosen = "second", "third"
    assert scheduler.choose_trial_to_run(None) == "second"
