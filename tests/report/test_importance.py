"""Importance of settings: the trials that count, and the shares above chance, with shares that are given."""

import optuna
import pytest
from optuna.distributions import FloatDistribution

from sepray.report import importance

from .studies import searched, study_results, trial

SPACE = {"a": FloatDistribution(0, 1), "b": FloatDistribution(0, 1)}


def trials(count=5, **attributes):
    rows = [{"a": k / 10, "b": 1 - k / 10} for k in range(count)]
    return [trial(k, [k + 1.0], params=row, distributions=SPACE, **attributes) for k, row in enumerate(rows)]


def test_proposed_trials_that_ran_their_budget_or_were_stopped_count(tmp_path):
    found = importance.points(study_results(tmp_path, searched()))
    assert [(t.number, value) for t, value in found] == [
        (1, 0.6),
        (2, 1.05),
        (3, 0.405),
        (5, 0.45),
        (6, 0.99),
        (7, 0.4),
    ]


def test_five_trials_that_differ_are_needed():
    points = [(t, float(t.number)) for t in trials(6)]
    assert importance.FEWEST == 5
    assert [importance.can_be_estimated(points[:n]) for n in (4, 5, 6)] == [False, True, True]
    assert not importance.can_be_estimated([(t, 1.0) for t, _ in points])
    alike = [trial(k, [1.0], params={"a": 0.5, "b": 0.5}, distributions=SPACE) for k in range(5)]
    assert not importance.can_be_estimated([(t, float(t.number)) for t in alike])


def test_parameters_count_that_all_trials_have_with_more_than_one_value():
    made = trials(3)
    fewer = trial(9, [1.0], params={"a": 0.3}, distributions={"a": SPACE["a"]})
    assert importance.common(made) == importance.varied(made) == {"a", "b"}
    assert importance.common([*made, fewer]) == {"a"}
    assert importance.varied(made[:1]) == set()
    assert importance.common([]) == set()


@pytest.fixture
def given(monkeypatch):
    """Shares that are handed out in turn; and what they were asked for."""
    shares, asked = [], []

    def handed(points, names):
        asked.append((points, list(names)))
        return dict(zip(names, shares[(len(asked) - 1) % len(shares)], strict=True))

    monkeypatch.setattr(importance, "shares", handed)
    return shares, asked


def test_what_is_above_chance_is_more_than_the_largest_shuffled_share_over_three_rounds(given):
    shares, asked = given
    shares += [(0.5, 0.1, 0.2, 0.2), (0.3, 0.3, 0.3, 0.1), (0.4, 0.2, 0.1, 0.3)]  # a, a shuffled, b, b shuffled
    points = [(t, float(t.number)) for t in trials()]
    # a has 1.2 in all, b 0.6, and chance the largest of each round: 0.2, 0.3 and 0.3
    assert importance.above_chance(points, ["a", "b"]) == ["a"]
    assert len(asked) == 3
    for both, names in asked:
        assert names == ["a", "a shuffled", "b", "b shuffled"]
        assert [value for _, value in both] == [value for _, value in points]
        for kind in "ab":
            own = [t.params[kind] for t, _ in points]
            assert [t.params[kind] for t, _ in both] == own
            shuffled = [t.params[f"{kind} shuffled"] for t, _ in both]
            assert sorted(shuffled) == sorted(own)
    shares[:] = [(0.5, 0.2, 0.3, 0.3)]  # as much as chance is not more
    assert importance.above_chance(points, ["a", "b"]) == ["a"]


def test_the_most_important_is_the_largest_that_is_above_chance(tmp_path, given, monkeypatch):
    shares, _ = given
    shares.append((0.3, 0.7))
    results = study_results(tmp_path, trials())
    for kept, found in ((["a", "b"], ("b", 0.7)), (["a"], ("a", 0.3)), ([], None)):
        asked = []
        monkeypatch.setattr(importance, "above_chance", lambda *given, kept=kept, asked=asked: asked.append(1) or kept)
        most = importance.most_important(results)
        assert (most and (most.name, most.share)) == found
        assert len(asked) == 1  # its forests take seconds
    assert importance.most_important(study_results(tmp_path, trials(4))) is None


def test_a_study_in_memory_holds_the_trials_and_is_made_in_silence(caplog):
    before = optuna.logging.get_verbosity()
    made = importance.in_memory(["minimize"], trials(3))
    assert [t.value for t in made.trials] == [1.0, 2.0, 3.0]
    assert optuna.logging.get_verbosity() == before
    assert not caplog.records
